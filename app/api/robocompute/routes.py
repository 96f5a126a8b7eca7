"""All of the dialect's views, one blueprint a noun."""

from flask_smorest import Blueprint

from app.api.robocompute import billing, invoices, wallet

BLUEPRINTS: tuple[Blueprint, ...] = (wallet.blueprint, billing.blueprint, invoices.blueprint)
