"""What a frame costs: a node's time at its tier's price, within what is left of the job's money."""

from decimal import Decimal

from app.values.money import DOWN, Money, from_decimal

SECONDS_PER_HOUR = 3600
# What is beyond the bound nobody pays: a node goes on for so many times as long as it is paid for, or so long where that is
# more, and no further.
OVERRUN, OVERRUN_LEAST_SECONDS = 4, 300


def cost(price_per_hour: Money, seconds: Decimal | float) -> Money:
    """Of so many seconds of one node. Rounding favours the client."""
    exact = price_per_hour.decimal * Decimal(str(seconds)) / SECONDS_PER_HOUR
    return from_decimal(max(exact, Decimal(0)), price_per_hour.asset, DOWN)


def frame_share(bound_minor: int, units_total: int) -> int:
    """What one unit costs at most by itself, in minor units: all of them together never cost more than was quoted."""
    return bound_minor // units_total


def may_begin(limit_minor: int, charged_minor: int, share_minor: int, units_out: int) -> int:
    """How many more units may be handed out, so that all that are out can be paid for whatever they cost. A share of nothing
    bounds nothing."""
    if share_minor == 0:
        return 2**31
    return max(0, (limit_minor - charged_minor) // share_minor - units_out)


def charge(
    measured_minor: int, charged_minor: int, share_minor: int, bound: tuple[int, int], limit: tuple[int, int]
) -> int:
    """What a finished unit costs: its measured price, or what is left when others have their shares. `bound` and `limit` are
    each (minor units, how many others): of what was quoted every unit that is still to be rendered keeps its share, so that a cap
    that is raised later finds them there; of what may be spent now those that are out."""
    rest = min(most - charged_minor - share_minor * others for most, others in (bound, limit))
    return max(0, min(measured_minor, rest))


def most_seconds(price_per_hour: Money, paid_minor: int) -> int:
    """So long a node may work on a render that pays so much: for what was quoted, and on what turns out heavier up to a limit. A
    scene that was quoted as light, by error or by somebody's lie, takes no more of it than that."""
    paid = paid_minor * SECONDS_PER_HOUR // max(1, price_per_hour.minor)
    return max(OVERRUN_LEAST_SECONDS, OVERRUN * paid)
