"""What a dispatched job costs, by its type: one table in the settings."""

from collections.abc import Mapping

from app.errors import ConfigError, InvalidInput
from app.values.money import Money, parse

ASSET, OTHER = "CREDIT", "other"


def read_prices(text: str) -> dict[str, Money]:
    """Read `render=10,other=1` in credits, nothing being a price too. ConfigError says which item is wrong."""
    prices: dict[str, Money] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = (part.strip() for part in item.partition("="))
        try:
            prices[name] = parse(amount, ASSET)
        except InvalidInput:
            raise ConfigError(f"DISPATCH_PRICES: {item!r} must be TYPE=credits, with at most 4 decimals") from None
        if not name or prices[name].minor < 0:
            raise ConfigError(f"DISPATCH_PRICES: {item!r} must name a type, and a price not below zero")
    if OTHER not in prices:
        raise ConfigError("DISPATCH_PRICES must say what `other` costs: every type that is not named")
    return prices


def price_of(prices: Mapping[str, Money], kind: str) -> Money:
    """The price of one job of this type."""
    return prices.get(kind, prices[OTHER])
