"""All of the dialect's views, one blueprint a noun."""

from app.api.cocoon import exports, participants, payouts

BLUEPRINTS = (participants.blueprint, payouts.blueprint, exports.blueprint)
