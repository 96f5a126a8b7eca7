"""What an asset was worth in US dollars at a moment, for tax reports: a port, and the settings' table as its first source."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Protocol

from app.errors import ConfigError, Unavailable
from app.values.money import DECIMALS, Money
from app.values.rates import RATE_PLACES, RateTable

USD_PLACES = Decimal("0.000001")


class UsdRates(Protocol):
    """Where past rates come from. What is told is stored with the row that it was asked for, and not asked again."""

    def at(self, asset: str, moment: datetime) -> tuple[Decimal, str]:
        """US dollars for one whole unit at `moment`, and who says so; Unavailable if nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class UsdValue:
    """An amount's worth, to a millionth of a dollar; its rate, and who told it."""

    amount_usd: Decimal
    rate: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class SettingsRates:
    """`days` of each asset ascend, each the first (in UTC) on which its rate holds. Before the first, and for an asset that has
    none, the present table holds."""

    days: Mapping[str, Sequence[tuple[date, Decimal]]]
    present: RateTable

    def at(self, asset: str, moment: datetime) -> tuple[Decimal, str]:
        known = self.days.get(asset, ())
        place = bisect_right(known, moment.astimezone(UTC).date(), key=lambda pair: pair[0])
        if place == 0:
            return self.present.usd(asset), self.present.name
        day, rate = known[place - 1]
        return rate, f"{self.present.name}@{day.isoformat()}"


def read_days(text: str, present: RateTable) -> SettingsRates:
    """Read `TON@2025-01-01=5.5,TON@2025-07-01=2.9`; ConfigError says which item is wrong."""
    found: dict[str, dict[date, Decimal]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = item.partition("=")
        asset, _, day = name.partition("@")
        try:
            since, rate = date.fromisoformat(day), Decimal(number).quantize(RATE_PLACES)
        except (ValueError, InvalidOperation):
            since, rate = date.min, Decimal("nan")
        if asset not in DECIMALS or not rate.is_finite() or rate <= 0 or since in found.get(asset, {}):
            raise ConfigError(f"RATES_USD_SINCE: {item!r} must be ASSET@YYYY-MM-DD=dollars, each day of an asset once")
        found.setdefault(asset, {})[since] = rate
    return SettingsRates({asset: sorted(days.items()) for asset, days in found.items()}, present)


def value(amount: Money, moment: datetime, rates: UsdRates) -> UsdValue | None:
    """What an amount was worth then; None while nobody knows. The rate is rounded first, so that both always agree."""
    try:
        told, source = rates.at(amount.asset, moment)
    except Unavailable:
        return None
    rate = told.quantize(RATE_PLACES)
    return UsdValue((amount.decimal * rate).quantize(USD_PLACES, ROUND_HALF_UP), rate, source)
