"""All of the dialect's views, one blueprint a noun."""

from app.api.cocoon import exports, participants, payouts, proposals, worker_views

BLUEPRINTS = (
    participants.blueprint,
    worker_views.blueprint,
    payouts.blueprint,
    exports.blueprint,
    proposals.blueprint,
)
