"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import (
    billing,
    disputes,
    earnings,
    invoices,
    payouts,
    provider_tasks,
    providers,
    resources,
    staking,
    task_logs,
    tasks,
    wallet,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    tasks.blueprint,
    provider_tasks.blueprint,
    task_logs.blueprint,
    providers.blueprint,
    resources.blueprint,
    earnings.blueprint,
    payouts.blueprint,
    staking.blueprint,
    disputes.blueprint,
    disputes.provider_blueprint,
    wallet.blueprint,
    billing.blueprint,
    invoices.blueprint,
)
