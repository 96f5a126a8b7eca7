"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import credits, keys, payments, payout_addresses, wallets

BLUEPRINTS = (wallets.blueprint, payout_addresses.blueprint, keys.blueprint, payments.blueprint, credits.blueprint)
