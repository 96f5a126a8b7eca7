"""All of the dialect's views, one blueprint a noun."""

from app.api.rnp019 import keys, wallets

BLUEPRINTS = (wallets.blueprint, keys.blueprint)
