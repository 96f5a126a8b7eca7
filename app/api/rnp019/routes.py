"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import events, frames, keys, payout_addresses, wallets

BLUEPRINTS = (wallets.blueprint, payout_addresses.blueprint, keys.blueprint, frames.blueprint, events.blueprint)
