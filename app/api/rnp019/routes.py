"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import (
    credits,
    estimates,
    events,
    frames,
    jobs,
    keys,
    payments,
    payout_addresses,
    scenes,
    tiers,
    wallets,
)

BLUEPRINTS = (
    wallets.blueprint,
    payout_addresses.blueprint,
    keys.blueprint,
    scenes.blueprint,
    tiers.blueprint,
    estimates.blueprint,
    jobs.blueprint,
    frames.blueprint,
    events.blueprint,
    payments.blueprint,
    credits.blueprint,
)
