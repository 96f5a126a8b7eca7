"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import provider_tasks, tasks

BLUEPRINTS: tuple[Blueprint, ...] = (
    tasks.blueprint,
    provider_tasks.blueprint,
)
