"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import (
    estimates,
    events,
    frames,
    jobs,
    keys,
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
)
