"""What a render will cost and how long it will take, by tier: from measured seconds per frame where there are any.

`bound` is what is held or prepaid, and more is never charged; `expected` is what it will probably cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.core import render_nodes, render_orders, scene_timings
from app.core.render_nodes import Availability
from app.errors import InvalidInput, Unavailable
from app.values import frame_times, prompt_times, tiles
from app.values.capabilities import PROMPTED
from app.values.frame_times import FrameTime
from app.values.money import NEAREST, UP, Money, from_decimal
from app.values.prompt_times import Guesses
from app.values.rates import RateSource, convert
from app.values.render_prices import SECONDS_PER_HOUR
from app.values.render_tiers import TIERS, Tariff

PAID_WITH = ("RCREDIT", "RENDER", "USDC", "USDT", "SOL")
AT_PAR = frozenset({"RENDER", "RCREDIT"})


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be rendered: of which bytes (None of a prompt), how many frames (a video of a prompt is one), with which
    settings; `report` is what a node saw in the scene, which fills in what the settings leave open. `kind` is what nodes need to
    offer."""

    sha256: str | None
    size_bytes: int
    frames: int
    settings: Mapping[str, Any]
    report: Mapping[str, Any] | None
    kind: str = render_nodes.KIND


@dataclass(frozen=True, slots=True)
class Terms:
    """The hub's prices, how it judges nodes, the longest that a node may work on one frame, and what is guessed of prompts."""

    tariff: Tariff
    nodes: render_nodes.Terms
    unit_max_seconds: int
    guesses: Guesses = Guesses()


@dataclass(frozen=True, slots=True)
class TierEstimate:
    """In one tier. `seconds` until the last frame is there, from now, with the nodes that are there; `frame_seconds` of one node
    for one frame. `basis` is what both come from: these bytes measured, probed, or nothing but their settings."""

    tier: str
    per_hour: Money
    bound: Money
    expected: Money
    seconds: float
    seconds_low: float
    seconds_high: float
    basis: str
    frame_seconds: float
    availability: Availability


def estimate(session: Session, work: Work, terms: Terms) -> list[TierEstimate]:
    """One for each tier, in the order of `TIERS`."""
    frame = _frame_time(session, work, terms)
    there = render_nodes.availability(session, terms.nodes, memory_bytes(work.report), work.kind, work.settings.get("engine"))
    return [_of_tier(tier, work, frame, terms, there[tier]) for tier in TIERS]


def assert_engine_offered(session: Session, work: Work, found: TierEstimate, terms: Terms) -> None:
    """Unavailable ENGINE_NOT_OFFERED while of the nodes that are there none has the engine: it would wait for one that may never
    come."""
    engine = work.settings.get("engine")
    if found.availability.nodes or not render_nodes.availability(session, terms.nodes, kind=work.kind)[found.tier].nodes:
        return
    if not render_nodes.availability(session, terms.nodes, kind=work.kind, engine=engine)[found.tier].nodes:
        message = f"no node that renders with {engine} is there now: set settings.engine to another one, or order later"
        raise Unavailable(message, code="ENGINE_NOT_OFFERED")


def memory_bytes(report: Mapping[str, Any] | None) -> int:
    """What a scene is thought to need, as a node has said; 0 where nobody knows, or what is said makes no sense."""
    said = (report or {}).get("estimated_memory_bytes")
    return said if type(said) is int and 0 < said < 2**62 else 0


def _frame_time(session: Session, work: Work, terms: Terms) -> FrameTime:
    if work.kind in PROMPTED:
        timings = scene_timings.of_scene(session, prompt_times.name_of(work.kind))
        return prompt_times.expected(timings, work.kind, prompt_times.load_of(work.kind, work.settings), terms.guesses)
    timings = scene_timings.of_scene(session, work.sha256)
    return frame_times.expect(timings, frame_times.load_of(work.settings, work.report), terms.nodes.guess_seconds)


def decide_tiles(session: Session, work: Work, terms: Terms) -> Work:
    """The same work, with the tiles that it is best cut into where that was left to the hub: by how long it takes and who is
    free."""
    if work.settings.get("tiles") != tiles.AUTO:
        return work
    whole = tiles.without(work.settings)
    found = estimate(session, replace(work, settings=whole), terms)[0]
    best = tiles.choose(found.frame_seconds, found.availability.free, whole["width"], whole["height"])
    return replace(work, settings=whole if best is None else {**work.settings, "tiles": best})


def _of_tier(tier: str, work: Work, frame: FrameTime, terms: Terms, there: Availability) -> TierEstimate:
    frames, parts = work.frames, work.frames * tiles.count(work.settings)
    units = parts + (1 if work.settings.get("video") else 0)
    most = float(units * terms.unit_max_seconds)
    more, more_high = (0.0, 0.0) if work.kind in PROMPTED else _beyond_frames(work, frame, parts)
    low, expected, high = (
        min(most, seconds)
        for seconds in (frame.total_low(frames), frame.seconds * frames + more, frame.total_high(frames) + more_high)
    )
    per_hour = terms.tariff.per_hour(tier)
    side_by_side = max(1, min(parts, there.nodes))
    certain = max(1, min(parts, there.free))
    return TierEstimate(
        tier=tier,
        per_hour=per_hour,
        bound=_price(per_hour, high, units),
        expected=_price(per_hour, expected, units),
        seconds=(there.wait_seconds or 0.0) + expected / side_by_side,
        seconds_low=low / side_by_side,
        seconds_high=(there.wait_high_seconds or 0.0) + high / certain,
        basis=frame.basis,
        frame_seconds=min(frame.seconds, float(terms.unit_max_seconds)),
        availability=there,
    )


def _beyond_frames(work: Work, frame: FrameTime, parts: int) -> tuple[float, float]:
    """Seconds that nodes need beside the frames, as expected and at most."""
    start, extra = frame_times.start_seconds(frame.basis, parts), frame_times.extra_seconds(work.settings, work.frames)
    return start[0] + extra[0], start[1] + extra[1]


def _price(per_hour: Money, seconds: float, units: int) -> Money:
    """Rounded up, and never so little that a unit would have no share of it."""
    exact = per_hour.decimal * Decimal(str(round(seconds, 6))) / SECONDS_PER_HOUR
    return max(from_decimal(exact, per_hour.asset, UP), Money(units, per_hour.asset))


def in_asset(estimate: TierEstimate, asset: str, rates: RateSource) -> render_orders.Price:
    """The same in what it is paid with, at today's rate; RENDER and RCREDIT are one for one whatever the table says.

    InvalidInput ASSET_UNKNOWN for what renders are not paid with, Unavailable while nobody knows a rate.
    """
    if asset not in PAID_WITH:
        raise InvalidInput(f"renders are paid with {', '.join(PAID_WITH)}", code="ASSET_UNKNOWN")
    if asset in AT_PAR:
        per_hour, bound = Money(estimate.per_hour.minor, asset), Money(estimate.bound.minor, asset)
        return render_orders.Price(per_hour, bound, Decimal(1), "par")
    found = convert(estimate.bound, asset, rates, UP)
    per_hour = convert(estimate.per_hour, asset, rates, NEAREST).amount
    return render_orders.Price(max(per_hour, Money(1, asset)), max(found.amount, Money(1, asset)), found.rate, found.source)
