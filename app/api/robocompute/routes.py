"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import task_logs

BLUEPRINTS: tuple[Blueprint, ...] = (task_logs.blueprint,)
