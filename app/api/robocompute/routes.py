"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import disputes, earnings, payouts, staking

BLUEPRINTS: tuple[Blueprint, ...] = (
    earnings.blueprint,
    payouts.blueprint,
    staking.blueprint,
    disputes.blueprint,
    disputes.provider_blueprint,
)
