"""All of the dialect's views, one blueprint a noun."""

from app.api.rendertrust import auth, credits, jobs, ledger_views, nodes, system, uploads, webhooks

BLUEPRINTS = (
    system.blueprint,
    auth.blueprint,
    credits.blueprint,
    uploads.blueprint,
    jobs.blueprint,
    nodes.blueprint,
    webhooks.blueprint,
    ledger_views.blueprint,
)
