"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import jobs, keys, payout_addresses, wallets

BLUEPRINTS = (wallets.blueprint, payout_addresses.blueprint, keys.blueprint, jobs.blueprint)
