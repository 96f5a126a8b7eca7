"""Submit a scene: check the file, store it, price it at a provider, ask for the payment."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from app import offload
from app.config import Settings
from app.core import inspections, jobs, nodes, outcomes, payments, pricing, queries
from app.db import Database, Session
from app.errors import InvalidInput, Unavailable
from app.failpoints import failpoint
from app.formats.limits import SceneFacts, SceneLimits, parse_version
from app.formats.names import clean_file_name
from app.formats.scene import inspect_scene
from app.models.jobs import Job, Scene
from app.models.nodes import Provider
from app.models.payments import Payment
from app.values import clock
from app.values.frames import FrameSet

MIB = 1024 * 1024


class Stored(Protocol):
    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


class Signals(Protocol):
    def wait(self, key: str, seconds: float) -> bool: ...


class Store(Protocol):
    def put(self, key: str, stream: Any, max_bytes: int) -> Stored: ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A client's file as it arrived: a seekable binary stream and the name it gave."""

    stream: Any
    file_name: str


@dataclass(frozen=True, slots=True)
class Submission:
    dialect: str
    client_wallet: str
    provider_id: uuid.UUID | None
    settings: Mapping[str, Any]
    frames: FrameSet
    memo_prefix: str


def submit(
    database: Database, store: Store, signals: Signals, limits: Settings, upload: Upload, wanted: Submission
) -> tuple[Job, Payment, Scene]:
    """Quote a render: nothing is stored for a file that is no scene, and no frame is queued before it is paid.

    An idle node has a moment to open the scene first; what it finds are the quote's warnings, and a file that Blender itself
    cannot open is InvalidInput.
    """
    name = clean_file_name(upload.file_name)
    size_bytes = upload.stream.seek(0, os.SEEK_END)
    facts = offload.run(_inspect, upload, name, limits)
    with database.unit_of_work() as session:
        provider = _choose(session, wanted, facts, size_bytes, limits)
    upload.stream.seek(0)
    key = f"scenes/{uuid.uuid4().hex}"
    stored = offload.run(store.put, key, upload.stream, limits.max_upload_bytes)
    failpoint("submission.stored")
    with database.unit_of_work() as session:
        scene = _note_scene(session, key, stored, name, facts)
        quote = _price(session, provider, scene, wanted, limits)
        order = jobs.Order(
            dialect=wanted.dialect,
            kind="render",
            frames=tuple(wanted.frames.frames),
            settings=wanted.settings,
            quote=quote,
            scene_id=scene.id,
            provider_id=provider.id,
            client_wallet=wanted.client_wallet,
            expires_at=clock.now() + timedelta(seconds=limits.quote_seconds),
            name=name,
        )
        job = jobs.submit(session, order)
        payment = payments.ask(session, job, provider.wallet, "solana", wanted.memo_prefix)
        is_looked_at = inspections.order(session, job, scene)
    failpoint("submission.quoted")
    waits = is_looked_at and limits.inspection_wait_seconds > 0
    if waits and signals.wait(inspections.signal_key(job.id), limits.inspection_wait_seconds):
        with database.unit_of_work() as session:
            scene = jobs.scene_of(session, job)
    _refuse_hopeless(database, job, scene)
    return job, payment, scene


def _refuse_hopeless(database: Database, job: Job, scene: Scene) -> None:
    refusal = inspections.refusal_of(scene)
    if refusal is None:
        return
    code, message = refusal
    with database.unit_of_work() as session:
        outcomes.cancel_unpaid(session, job.id, code, message)
    raise InvalidInput(message, code=code)


def _inspect(upload: Upload, name: str, limits: Settings) -> SceneFacts:
    upload.stream.seek(0)
    scene_limits = SceneLimits(
        max_blender_version=parse_version(limits.max_blender_version), max_uncompressed_bytes=limits.max_unpacked_bytes
    )
    return inspect_scene(upload.stream, name, scene_limits)


def _choose(session: Session, wanted: Submission, facts: SceneFacts, size_bytes: int, limits: Settings) -> Provider:
    """The preferred provider if it fits, else the cheapest that does, those with live nodes first."""
    if wanted.provider_id is not None:
        provider = nodes.get_provider(session, wanted.provider_id)
        problem = _misfit(provider, wanted, facts, size_bytes)
        if problem is None and _asks(provider, wanted, size_bytes, limits) is None:
            problem = "its price for this is more than can be paid"
        if problem:
            raise Unavailable(f"Provider {provider.name} cannot take this: {problem}", code="PROVIDER_UNAVAILABLE")
        return provider
    fitting = [item for item in queries.providers(session, "online") if not _misfit(item, wanted, facts, size_bytes)]
    prices = {item: price for item in fitting if (price := _asks(item, wanted, size_bytes, limits)) is not None}
    if not prices:
        if any(_too_large(item, size_bytes) for item in queries.providers(session, "online")):
            raise Unavailable("No provider takes a file of this size", code="NO_PROVIDER")
        raise Unavailable("No providers available for this file and engine", code="NO_PROVIDER")
    alive = nodes.providers_with_means(session, limits.node_unhealthy_seconds)

    def rank(provider: Provider) -> tuple[bool, Decimal, str]:
        return provider.id not in alive, prices[provider], str(provider.id)

    return min(prices, key=rank)


def _asks(provider: Provider, wanted: Submission, size_bytes: int, limits: Settings) -> Decimal | None:
    """What the provider asks for such a file that was never measured; None when it is no amount that can be paid, so that one
    absurd price list is passed over and stops nobody's quote."""
    seconds, fee = Decimal(limits.fallback_render_seconds), limits.platform_fee_percent
    try:
        return pricing.quote(nodes.tariff_of(provider), size_bytes, len(wanted.frames.frames), seconds, fee).total
    except InvalidInput:
        return None


def _too_large(provider: Provider, size_bytes: int) -> bool:
    return size_bytes > float(provider.spec.get("maxFileSize", 2000)) * MIB


def _misfit(provider: Provider, wanted: Submission, facts: SceneFacts, size_bytes: int) -> str | None:
    """Why this provider can't take the job; None when it can."""
    formats = [item.lower() for item in provider.spec.get("supportedFormats", [facts.format])]
    engines = [item.lower() for item in provider.spec.get("renderEngines", ["cycles"])]
    if provider.status != "online":
        return f"it is {provider.status}"
    if _too_large(provider, size_bytes):
        return f"it takes files up to {provider.spec.get('maxFileSize', 2000)} MiB"
    if facts.format not in formats:
        return f"it does not render {facts.format}"
    if wanted.settings["engine"] not in engines:
        return f"it does not offer {wanted.settings['engine']}"
    return None


def _note_scene(session: Session, key: str, stored: Stored, name: str, facts: SceneFacts) -> Scene:
    scene = Scene(
        id=uuid.uuid4(),
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        storage_key=key,
        file_name=name,
        format=facts.format if facts.archive_member is None else ".zip",
        facts={"blender_version": facts.blender_version, "warnings": list(facts.warnings), "format": facts.format},
    )
    session.add(scene)
    session.flush()
    return scene


def _price(session: Session, provider: Provider, scene: Scene, wanted: Submission, limits: Settings) -> pricing.Quote:
    """Measured seconds per frame where the hub knows the scene, else the seed's fallback for the whole job."""
    frames = len(wanted.frames.frames)
    measured = pricing.measured_seconds(session, scene.sha256, pricing.settings_key(wanted.settings))
    seconds = measured * frames if measured is not None else Decimal(limits.fallback_render_seconds)
    return pricing.quote(nodes.tariff_of(provider), scene.size_bytes, frames, seconds, limits.platform_fee_percent)
