"""All of the dialect's views, one blueprint a noun."""

from app.api.rendertrust import auth, credits, ledger_views, system, uploads

BLUEPRINTS = (
    system.blueprint,
    auth.blueprint,
    credits.blueprint,
    uploads.blueprint,
    ledger_views.blueprint,
)
