"""All of the dialect's views, one blueprint a noun."""

from app.api.robocompute import providers, resources

BLUEPRINTS = (providers.blueprint, resources.blueprint)
