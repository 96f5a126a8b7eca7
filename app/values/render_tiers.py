"""Service tiers of a render: what each costs, and where its frames stand in the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from app.errors import ConfigError, InvalidInput
from app.values.money import NEAREST, Money, from_decimal, parse

ASSET = "RENDER"
PRIORITY, ECONOMY = "priority", "economy"
TIERS = (PRIORITY, ECONOMY)

# A unit's place in the queue, the higher first. Other dialects' renders are at 0, beside the tier `priority`. An owner's own
# priorities stay within their tier's band; what has waited for too long stands above all of them.
BAND = 100
_BASE = {PRIORITY: 0, ECONOMY: -1000}
ECONOMY_MOST = _BASE[ECONOMY] + BAND
OVERDUE = 1000


@dataclass(frozen=True, slots=True)
class Tariff:
    """An hour of one node, in RENDER, and by how much each tier multiplies that."""

    base: Money
    multipliers: Mapping[str, Decimal]

    def per_hour(self, tier: str) -> Money:
        """The price of a node's hour in a tier, at least the smallest amount there is."""
        price = from_decimal(self.base.decimal * self.multipliers[tier], self.base.asset, NEAREST)
        return max(price, Money(1, price.asset))


def queue_priority(tier: str, priority: int) -> int:
    """Where a unit stands whose owner gave its job this priority."""
    return _BASE[tier] + max(-BAND, min(BAND, priority))


def read_tariff(per_hour: str, multipliers: str) -> Tariff:
    """Read RENDER_PRICE_PER_HOUR and TIER_MULTIPLIERS; ConfigError says what is wrong."""
    try:
        base = parse(per_hour, ASSET)
    except InvalidInput as error:
        raise ConfigError(f"RENDER_PRICE_PER_HOUR: {error.message}") from None
    if base.minor <= 0:
        raise ConfigError("RENDER_PRICE_PER_HOUR must be more than zero")
    return Tariff(base, _read_multipliers(multipliers))


def _read_multipliers(text: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        tier, _, number = (part.strip() for part in item.partition("="))
        try:
            found[tier] = Decimal(number)
        except InvalidOperation:
            found[tier] = Decimal("nan")
        if tier not in TIERS or not found[tier].is_finite() or not 0 < found[tier] <= 1000:
            raise ConfigError(f"TIER_MULTIPLIERS: {item!r} must be TIER=number up to 1000, the tier one of {', '.join(TIERS)}")
    missing = [tier for tier in TIERS if tier not in found]
    if missing:
        raise ConfigError(f"TIER_MULTIPLIERS must say what {', '.join(missing)} costs")
    return found
