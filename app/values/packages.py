"""Packages of credits that are sold for money: by their `sku`, what is in them and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.errors import ConfigError, LightyardError
from app.values.money import Money, parse

PRICE_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Package:
    """`price_minor` in hundredths of the currency."""

    sku: str
    credits: Money
    price_minor: int


def read_packages(text: str, credit_price: Decimal) -> Mapping[str, Package]:
    """The table of `sku=credits` or `sku=credits@price`; a package without a price costs its credits at `credit_price` each."""
    found: dict[str, Package] = {}
    for item in (part.strip() for part in text.split(",") if part.strip()):
        sku, _, rest = item.partition("=")
        amount, at, price = rest.partition("@")
        try:
            credits = parse(amount.strip(), "CREDIT")
            cost = Decimal(price.strip()) if at else credits.decimal * credit_price
            price_minor = int(cost.scaleb(PRICE_DECIMALS))
            is_sound = bool(sku.strip()) and sku.strip() not in found and credits.minor > 0 and price_minor > 0
            is_sound = is_sound and cost.scaleb(PRICE_DECIMALS) == price_minor
        except (LightyardError, ArithmeticError, ValueError):
            is_sound = False
        if not is_sound:
            raise ConfigError(f"CREDIT_PACKAGES: {item!r} must read sku=credits or sku=credits@price, each sku once")
        found[sku.strip()] = Package(sku.strip(), credits, price_minor)
    return found
