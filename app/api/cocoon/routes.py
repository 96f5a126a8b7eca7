"""All of the dialect's views, one blueprint a noun."""

from app.api.cocoon import participants, worker_views

BLUEPRINTS = (participants.blueprint, worker_views.blueprint)
