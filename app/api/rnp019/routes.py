"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import estimates, jobs, keys, payout_addresses, tiers, wallets

BLUEPRINTS = (
    wallets.blueprint,
    payout_addresses.blueprint,
    keys.blueprint,
    tiers.blueprint,
    estimates.blueprint,
    jobs.blueprint,
)
