"""Ordering a render: the scene or the prompt, the settings, what it will cost and which part of the nodes it may have become one
placement."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from app.core import (
    account_scenes,
    allocation,
    estimates,
    inspections,
    pay_later,
    payments,
    prompt_estimates,
    render_nodes,
    render_orders,
    render_payments,
)
from app.core.estimates import TierEstimate, Work
from app.core.render_orders import DEFERRED, PREPAY, Placement
from app.core.solana_hub import SolanaHub
from app.db import Database, Session
from app.errors import Conflict, InvalidInput, NotFound
from app.models.jobs import Job, Scene
from app.values import clock, prompts, render_settings
from app.values.frames import FrameSet
from app.values.frames import parse as read_frames
from app.values.money import Money
from app.values.money import parse as read_money
from app.values.rates import RateSource
from app.values.render_settings import Limits

UNPAID_MOST = 500  # orders of an account that wait for their payment: each is rows, and costs nothing


@dataclass(frozen=True, slots=True)
class Terms:
    """What this hub renders, what it makes of prompts, and at which rates; an unpaid order is good for `quote_seconds`, and an
    account may owe `pay_later_most` (RENDER) for what is rendered before it is paid. `solana` is where payments go."""

    estimates: estimates.Terms
    rates: RateSource
    limits: Limits
    prompts: prompts.Limits
    max_frames: int
    quote_seconds: int
    pay_later_most: Money
    solana: SolanaHub


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as it was sent, of a scene or of a prompt: `frames` as text, `settings` with what was left out missing or None,
    `max_amount` in `asset`."""

    account_id: uuid.UUID
    name: str
    scene_id: uuid.UUID | None
    frames: str
    settings: Mapping[str, Any]
    tier: str
    priority: int
    mode: str
    asset: str
    max_amount: Decimal | None
    order_id: uuid.UUID | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class _Ordered:
    """What nodes will get, and what it is estimated by."""

    work: Work
    scene_id: uuid.UUID | None = None
    prompt: str | None = None


def order(database: Database, terms: Terms, wanted: Wanted) -> Job:
    """Place the order. One that was placed before under its `order_id` is found again.

    InvalidInput says which member cannot be, PaymentRequired what is there; errors as `account_scenes.note_use`, and for what is
    paid first as `render_payments.ask`; Unavailable IMAGES_NOT_OFFERED or VIDEO_NOT_OFFERED while no node that is there makes of
    a prompt what is wanted, nor joins a video before it is paid, ENGINE_NOT_OFFERED while none has the engine.
    """
    frames = read_frames(wanted.frames, terms.max_frames)
    prompt = None if wanted.prompt is None else prompts.read(wanted.prompt, terms.prompts.most_chars)
    with database.unit_of_work() as session:
        if (known := render_orders.placed(session, wanted.account_id, wanted.order_id)) is not None:
            return known
        if wanted.mode == PREPAY:
            payments.assert_room(session, wanted.account_id, UNPAID_MOST, "TOO_MANY_UNPAID")
        if prompt is None:
            ordered = _of_scene(session, terms, wanted, frames, _scene(session, wanted))
        else:
            ordered = _Ordered(prompt_estimates.work_of(wanted.settings, len(frames), terms.prompts), prompt=prompt)
        job = render_orders.place(session, _placement(session, terms, wanted, frames, ordered))
        if wanted.mode == PREPAY:
            render_payments.ask(session, terms.solana, job, terms.quote_seconds)
        return job


def _of_scene(session: Session, terms: Terms, wanted: Wanted, frames: FrameSet, scene: Scene) -> _Ordered:
    settings = render_settings.settle(wanted.settings, scene.report, len(frames), terms.limits)
    work = Work(scene.sha256, scene.size_bytes, len(frames), settings, scene.report)
    return _Ordered(estimates.decide_tiles(session, work, terms.estimates), scene.id)


def _placement(session: Session, terms: Terms, wanted: Wanted, frames: FrameSet, ordered: _Ordered) -> Placement:
    found = _estimate(session, ordered.work, terms, wanted.tier)
    if ordered.prompt is not None:
        prompt_estimates.assert_offered(ordered.work.kind, found.availability)
    estimates.assert_engine_offered(session, ordered.work, found, terms.estimates)
    price, cap = estimates.in_asset(found, wanted.asset, terms.rates), _cap(wanted)
    if wanted.mode == DEFERRED:
        if ordered.prompt is None and ordered.work.settings.get("video"):
            render_nodes.assert_joins_unpaid(session, terms.estimates.nodes)
        most = min(price.bound, cap or price.bound)
        pay_later.assert_within(session, wanted.account_id, most, price.rate, terms.pay_later_most)
    part = allocation.for_order(session, wanted.account_id, found.availability, ordered.work.report, found.frame_seconds)
    return Placement(
        account_id=wanted.account_id,
        name=wanted.name,
        kind=ordered.work.kind,
        frames=frames.frames,
        settings=ordered.work.settings,
        tier=wanted.tier,
        priority=wanted.priority,
        mode=wanted.mode,
        price=price,
        max_amount=cap,
        window_units=part.units_at_once,
        allocation=part.words,
        scene_id=ordered.scene_id,
        prompt=ordered.prompt,
        expires_at=clock.now() + timedelta(seconds=terms.quote_seconds) if wanted.mode == PREPAY else None,
        order_id=wanted.order_id,
    )


def _scene(session: Session, wanted: Wanted) -> Scene:
    """The account's own scene, ready to be rendered, and kept for the job from now on."""
    if wanted.scene_id is not None:
        account_scenes.note_use(session, wanted.account_id, wanted.scene_id)
    scene = None if wanted.scene_id is None else session.get(Scene, wanted.scene_id)
    if scene is None or scene.account_id != wanted.account_id:
        raise NotFound("there is no such scene of yours; upload it by POST /rnp/v1/scenes", code="SCENE_NOT_FOUND")
    if scene.storage_key == "":
        raise Conflict("this scene's file is gone; upload it again", code="SCENE_GONE")
    if scene.report is None:
        raise Conflict("this scene is still looked at; order once its status is ready", code="SCENE_NOT_READY")
    refusal = inspections.refusal_of(scene, wanted.settings.get("camera"))
    if refusal is not None:
        raise InvalidInput(refusal[1], code=refusal[0])
    return scene


def _estimate(session: Session, work: Work, terms: Terms, tier: str) -> TierEstimate:
    return next(item for item in estimates.estimate(session, work, terms.estimates) if item.tier == tier)


def _cap(wanted: Wanted) -> Money | None:
    """InvalidInput for one with more decimals than its asset has."""
    return None if wanted.max_amount is None else read_money(str(wanted.max_amount), wanted.asset)


