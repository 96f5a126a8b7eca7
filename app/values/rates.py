"""What an asset is worth in another: one table of US dollars per whole unit. A quote locks the rate it was made with."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol

from app.errors import ConfigError, Unavailable
from app.values.money import DECIMALS, Money, from_decimal

RATE_PLACES = Decimal("1e-12")  # as many as the database keeps


class RateSource(Protocol):
    """Where rates come from. `name` is stored beside every rate that was used."""

    @property
    def name(self) -> str: ...

    def usd(self, asset: str) -> Decimal:
        """US dollars for one whole unit; Unavailable if nobody knows now."""
        ...


@dataclass(frozen=True, slots=True)
class Conversion:
    """`amount` at `rate` (units of its asset for one unit of the other), told by `source`."""

    amount: Money
    rate: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class RateTable:
    """Rates that the operator wrote into the settings."""

    rates: Mapping[str, Decimal]
    name: str = "settings"

    def usd(self, asset: str) -> Decimal:
        try:
            return self.rates[asset]
        except KeyError:
            raise Unavailable(f"no rate is known for {asset}; the operator sets it in RATES_USD", code="RATE_UNKNOWN") from None


def read_table(text: str) -> RateTable:
    """Read `SOL=150,USDC=1`: assets that the ledger knows, positive decimals. ConfigError says which item is wrong."""
    rates: dict[str, Decimal] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        asset, _, number = item.partition("=")
        try:
            rate = Decimal(number)
        except InvalidOperation:
            rate = Decimal("nan")
        if asset not in DECIMALS or not rate.is_finite() or rate <= 0:
            name = "CREDIT_USD or RATES_USD" if asset == "CREDIT" else "RATES_USD"
            raise ConfigError(f"{name}: {item!r} must be ASSET=dollars, the asset one of {', '.join(DECIMALS)}")
        rates[asset] = rate
    return RateTable(rates)


def convert(amount: Money, asset: str, source: RateSource, rounding: str) -> Conversion:
    """`amount` in another asset. The rate is rounded first, so that amount and stored rate always agree."""
    if asset == amount.asset:
        return Conversion(amount, Decimal(1), "none")
    rate = (source.usd(amount.asset) / source.usd(asset)).quantize(RATE_PLACES)
    return Conversion(from_decimal(amount.decimal * rate, asset, rounding), rate, source.name)
