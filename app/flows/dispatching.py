"""Dispatch an order: its payload is looked at, a scene is checked, then it is paid for and offered to a node."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from app import offload
from app.config import Settings
from app.core import dispatch, owned, uploads
from app.core.dispatch import DispatchOrder, NodeRules
from app.core.uploads import Payload
from app.db import Database, Session
from app.errors import InvalidInput, NotFound
from app.formats.limits import SceneFacts, SceneLimits, parse_version
from app.formats.names import clean_file_name
from app.formats.scene import inspect_scene
from app.models.jobs import Job, Scene
from app.models.uploads import Upload
from app.values.money import Money
from app.values.prices import price_of

RENDER = "render"
JSON_RESULTS = frozenset({"inference", "cpu_benchmark"})
FIRST_FRAME = 1


class Stored(Protocol):
    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


class Store(Protocol):
    """What this flow asks of the file store."""

    def stat(self, key: str) -> Stored: ...

    def open(self, key: str) -> BinaryIO: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client orders, through which dialect."""

    dialect: str
    account_id: uuid.UUID
    kind: str
    payload_ref: str
    order_id: uuid.UUID | None = None  # the same for the same order, asked for again


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A payload that lies with us."""

    key: str
    name: str
    size_bytes: int
    sha256: str
    scene: SceneFacts | None


def submit(
    database: Database, store: Store, limits: Settings, prices: Mapping[str, Money], wanted: Wanted
) -> tuple[Job, uuid.UUID]:
    """Dispatch one job; returns it and the node it is offered to. Nothing is held for a payload that is not there, or no scene.
    An order that was committed before, under the same `order_id`, is found again and not made twice.

    Errors as `uploads.resolve` and `core.dispatch.dispatch`; InvalidInput for what was never uploaded, and for a file that is no
    scene where a render is ordered.
    """
    with database.unit_of_work() as session:
        known = _known(session, wanted)
        if known is not None:
            return known
        payload = uploads.resolve(session, wanted.account_id, wanted.payload_ref, limits.own_bucket)
        rules = node_rules(limits)
        dispatch.choose_node(session, wanted.kind, rules)  # before the file is read: without a node there is no use in it
    arrived = _look(store, payload, wanted.kind, limits)
    with database.unit_of_work() as session:
        known = _known(session, wanted)
        if known is not None:  # looking took so long that the order was followed
            return known
        _note_use(session, wanted.account_id, payload)
        scene = _note_scene(wanted.account_id, arrived)
        if scene is not None:
            session.add(scene)
            session.flush()
        order = DispatchOrder(
            dialect=wanted.dialect,
            account_id=wanted.account_id,
            kind=wanted.kind,
            price=price_of(prices, wanted.kind),
            settings=_settings(payload, arrived, wanted.kind, limits),
            scene_id=scene.id if scene else None,
            frame=FIRST_FRAME if wanted.kind == RENDER else None,
            job_id=wanted.order_id,
        )
        return dispatch.dispatch(session, order, rules)


def _known(session: Session, wanted: Wanted) -> tuple[Job, uuid.UUID] | None:
    """What was answered to this order before, and was lost with whoever made it. Never refused: it stands, and was paid for."""
    if wanted.order_id is None or session.get(Job, wanted.order_id) is None:
        return None
    job = owned.get(session, wanted.account_id, wanted.order_id).job
    return job, uuid.UUID(job.settings[dispatch.OFFERED_TO])


def _note_use(session: Session, account_id: uuid.UUID, payload: Payload) -> None:
    """From here on no sweep takes the file away; it may have, since it was looked at."""
    if payload.storage_key is None:
        return
    is_there = uploads.note_use(session, account_id, payload.storage_key)
    if payload.upload is not None and not is_there:
        raise NotFound("this upload was not used for too long and is gone; order another at POST /api/v1/uploads")


def node_rules(limits: Settings) -> NodeRules:
    return NodeRules(limits.node_unhealthy_seconds, limits.node_proof_required, limits.open_nodes, limits.offer_seconds)


def _look(store: Store, payload: Payload, kind: str, limits: Settings) -> _Arrived | None:
    """The payload as it lies in our store; None for one that lies elsewhere."""
    key = payload.storage_key
    if key is None:
        return None
    try:
        stored = store.stat(key)
    except NotFound:
        raise InvalidInput("nothing was uploaded there yet: PUT the file to its upload_url, then dispatch") from None
    if payload.upload is not None:
        _assert_announced(payload.upload, stored)
    name = clean_file_name(payload.upload.file_name if payload.upload else key.rpartition("/")[2])
    facts = None
    if kind == RENDER:
        with store.open(key) as stream:
            facts = offload.run(_inspect, stream, name, limits)
    return _Arrived(key, name, stored.size_bytes, stored.sha256, facts)


def _assert_announced(upload: Upload, stored: Stored) -> None:
    """A signed address holds an upload to what was announced, but not every S3 server looks at the hash."""
    if stored.size_bytes != upload.size_bytes or stored.sha256 != (upload.sha256 or stored.sha256):
        message = "the bytes that were uploaded are not those that were announced (size_bytes, sha256): PUT the file again"
        raise InvalidInput(message, code="HASH_MISMATCH")


def _inspect(stream: BinaryIO, name: str, limits: Settings) -> SceneFacts:
    scene_limits = SceneLimits(
        max_blender_version=parse_version(limits.max_blender_version), max_uncompressed_bytes=limits.max_unpacked_bytes
    )
    return inspect_scene(stream, name, scene_limits)


def _note_scene(account_id: uuid.UUID, arrived: _Arrived | None) -> Scene | None:
    if arrived is None or arrived.scene is None:
        return None
    facts = arrived.scene
    return Scene(
        id=uuid.uuid4(),
        account_id=account_id,
        sha256=arrived.sha256,
        size_bytes=arrived.size_bytes,
        storage_key=arrived.key,
        file_name=arrived.name,
        format=facts.format if facts.archive_member is None else ".zip",
        facts={"blender_version": facts.blender_version, "warnings": list(facts.warnings), "format": facts.format},
    )


def _settings(payload: Payload, arrived: _Arrived | None, kind: str, limits: Settings) -> dict[str, Any]:
    """What the node is told. A picture is as the scene itself says, in PNG."""
    settings: dict[str, Any] = {"payload_ref": payload.reference, "max_seconds": limits.dispatch_max_seconds}
    settings["output_format"] = "PNG" if kind == RENDER else "JSON" if kind in JSON_RESULTS else "BYTES"
    if arrived is not None:
        settings |= {
            "payload_key": arrived.key,
            "payload_name": arrived.name,
            "payload_size_bytes": arrived.size_bytes,
            "payload_sha256": arrived.sha256,
        }
    return settings
