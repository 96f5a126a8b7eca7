"""All of the dialect's views, one blueprint a noun."""

from app.api.cocoon import exports, participants, payouts, proposals

BLUEPRINTS = (participants.blueprint, payouts.blueprint, exports.blueprint, proposals.blueprint)
