"""What rendering an account's own scene will cost it, in what it pays with: the answer to an agent that asks before it orders."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.core import estimates, inspections
from app.core.estimates import TierEstimate, Work
from app.core.render_orders import Price
from app.errors import InvalidInput, NotFound
from app.models.jobs import Scene
from app.values import render_settings
from app.values.frames import FrameSet
from app.values.money import UP, Money, from_decimal
from app.values.rates import RateSource
from app.values.render_settings import Limits

NOT_LOOKED_AT = "no node has looked at this scene yet: resolution, samples and engine are guessed where they are left out"


@dataclass(frozen=True, slots=True)
class Terms:
    """The hub's prices and means, its rates, and the largest picture that it renders."""

    estimates: estimates.Terms
    rates: RateSource
    limits: Limits


@dataclass(frozen=True, slots=True)
class Wanted:
    """What would be ordered, as in a job: `settings` with what was left out missing or None; paid with `asset`."""

    account_id: uuid.UUID
    scene_id: uuid.UUID
    frames: FrameSet
    settings: Mapping[str, Any]
    asset: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One tier: what was estimated, its price in the asset, and what it will probably cost in that."""

    estimate: TierEstimate
    price: Price
    expected: Money


@dataclass(frozen=True, slots=True)
class SceneEstimate:
    """`settings` as nodes would get them; `warnings` are what the client should know before it pays."""

    scene: Scene
    settings: Mapping[str, Any]
    offers: Sequence[Offer]
    warnings: Sequence[str]


def for_scene(session: Session, terms: Terms, wanted: Wanted) -> SceneEstimate:
    """Estimate it. NotFound SCENE_NOT_FOUND for anybody else's scene, as for none; InvalidInput says what cannot be rendered."""
    scene = session.get(Scene, wanted.scene_id)
    if scene is None or scene.account_id != wanted.account_id:
        message = "there is no such scene of yours, or it is not there whole yet; send it by POST /rnp/v1/scenes"
        raise NotFound(message, code="SCENE_NOT_FOUND")
    refusal = inspections.refusal_of(scene, wanted.settings.get("camera"))
    if refusal is not None:
        raise InvalidInput(refusal[1], code=refusal[0])
    frames = len(wanted.frames)
    settings = render_settings.settle(wanted.settings, scene.report, frames, terms.limits)
    work = Work(scene.sha256, scene.size_bytes, frames, settings, scene.report)
    work = estimates.decide_tiles(session, work, terms.estimates)
    found = estimates.estimate(session, work, terms.estimates)
    offers = offers_of(found, wanted.asset, terms.rates)
    return SceneEstimate(scene, work.settings, offers, _warnings(scene, found[0], terms.estimates))


def offers_of(found: Sequence[TierEstimate], asset: str, rates: RateSource) -> list[Offer]:
    """What was estimated, in what it would be paid with."""
    return [_offer(item, asset, rates) for item in found]


def _offer(found: TierEstimate, asset: str, rates: RateSource) -> Offer:
    price = estimates.in_asset(found, asset, rates)
    expected = from_decimal(found.expected.decimal * price.rate, asset, UP)
    return Offer(found, price, min(max(expected, Money(1, asset)), price.bound))


def _warnings(scene: Scene, found: TierEstimate, terms: estimates.Terms) -> list[str]:
    warnings = inspections.warnings_of(scene)
    if scene.report is None:
        warnings.append(NOT_LOOKED_AT)
    if found.frame_seconds >= terms.unit_max_seconds:
        limit = terms.unit_max_seconds
        warnings.append(f"a frame probably takes longer than the {limit} s that a node may work on one: ask for fewer samples")
    if found.availability.nodes == 0:
        warnings.append("no node that fits is there now: the times are those of one node, once it comes")
    return warnings
