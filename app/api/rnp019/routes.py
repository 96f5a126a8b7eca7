"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import jobs, keys, payout_addresses, scenes, wallets

BLUEPRINTS = (wallets.blueprint, payout_addresses.blueprint, keys.blueprint, scenes.blueprint, jobs.blueprint)
