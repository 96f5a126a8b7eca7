"""What compute tasks cost: a price per hour, by the second."""

from app.values.money import Money

HOUR_SECONDS = 3600


def cost(price_per_hour: Money, seconds: int) -> Money:
    """So many seconds at a price per hour, rounded up to a minor unit."""
    return Money(-(-price_per_hour.minor * seconds // HOUR_SECONDS), price_per_hour.asset)


def whole_seconds(seconds: float) -> int:
    """Begun seconds count whole; none are below zero."""
    return max(0, -int(-seconds // 1))
