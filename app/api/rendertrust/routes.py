"""All of the dialect's views, one blueprint a noun."""

from app.api.rendertrust import auth, credits, ledger_views, system, uploads, webhooks

BLUEPRINTS = (
    system.blueprint,
    auth.blueprint,
    credits.blueprint,
    uploads.blueprint,
    webhooks.blueprint,
    ledger_views.blueprint,
)
