"""All of the dialect's views, one blueprint a noun."""

from app.api.cocoon import participants

BLUEPRINTS = (participants.blueprint,)
