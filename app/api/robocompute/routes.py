"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import provider_tasks, providers, resources, task_logs, tasks

BLUEPRINTS: tuple[Blueprint, ...] = (
    tasks.blueprint,
    provider_tasks.blueprint,
    task_logs.blueprint,
    providers.blueprint,
    resources.blueprint,
)
