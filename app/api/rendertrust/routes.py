"""All of the dialect's views, one blueprint a noun."""

from app.api.rendertrust import auth, credits, jobs, nodes, system, uploads

BLUEPRINTS = (
    system.blueprint,
    auth.blueprint,
    credits.blueprint,
    uploads.blueprint,
    jobs.blueprint,
    nodes.blueprint,
)
