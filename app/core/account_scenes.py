"""Scenes of accounts, by their content: announced, received in parts, looked at, used by jobs, and given up.

Bytes are known to an account that has sent them, and to nobody else: whoever names a hash must send the file that it is of. So
a hash, which may be read off a node or a job, opens nobody's scene and tells nobody what others have sent.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import inspections
from app.errors import Conflict, InvalidInput, NotFound, RateLimited, TooLarge
from app.formats.limits import SceneFacts
from app.models.account_scenes import AccountScene, SceneChunk
from app.models.jobs import Scene
from app.values import clock
from app.values.states import SceneState, advance

OPEN_LIMIT = 200  # scenes of one account that are not ready yet, or were rejected of late
PARTS_LIMIT = 10_000  # of one scene: each is a file and a row
WAIT_SECONDS = 60
NOTED_SECONDS = 600  # shorter than SCENE_UNUSED_SECONDS can be
PARTS = "scene-parts"

# A scene stays while a job with it is open, and a while after the last one was ordered and ended.
_DROP = text("""
WITH chosen AS (
    SELECT s.id FROM account_scenes s
    WHERE s.dropped_at IS NOT NULL
        OR (s.state = 'uploading' AND s.expires_at < :finished_before)
        OR (s.state = 'rejected' AND s.created_at < :rejected_before)
        OR (s.state = 'ready' AND coalesce(s.used_at, s.created_at) < :used_before AND NOT EXISTS (
            SELECT 1 FROM jobs j WHERE j.scene_id = s.id AND (j.state IN ('open', 'paused') OR j.ended_at > :used_before)))
    ORDER BY s.id LIMIT :most FOR UPDATE OF s SKIP LOCKED)
UPDATE account_scenes s SET dropped_at = :now FROM chosen WHERE s.id = chosen.id RETURNING s.id
""")
FINISHING_SECONDS = 3600  # what has come in time may be put together and looked at for so long


@dataclass(frozen=True, slots=True)
class Announced:
    """What a client says of a scene before its bytes are read: `sha256` in lower-case hex, a clean `name` and its `extension`."""

    sha256: str
    size_bytes: int
    name: str
    extension: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one scene, of all scenes of an account, and how long one may be on its way."""

    max_bytes: int
    account_bytes: int
    upload_seconds: int


@dataclass(frozen=True, slots=True)
class SceneView:
    """An account's scene, and what is known about its bytes once they are there."""

    own: AccountScene
    scene: Scene | None


def file_key(scene_id: uuid.UUID) -> str:
    """Where a scene's bytes lie: a file of its own for every account that has sent them."""
    return f"scenes/{scene_id.hex}"


def part_key(scene_id: uuid.UUID, offset: int) -> str:
    """A place for a part of it, that no other part at the same offset can take."""
    return f"{PARTS}/{scene_id.hex}-{offset}-{uuid.uuid4().hex}"


def announce(session: Session, account_id: uuid.UUID, file: Announced, limits: Limits) -> tuple[AccountScene, bool]:
    """The account's scene with these bytes, and whether it is new; a new one is waited for.

    InvalidInput SIZE_MISMATCH for another size than these bytes have, TooLarge past a limit, RateLimited past OPEN_LIMIT.
    """
    if file.size_bytes > limits.max_bytes:
        raise TooLarge(f"size_bytes may be at most {limits.max_bytes}", details={"max_bytes": limits.max_bytes})
    found = _known(session, account_id, file)
    if found is not None:
        return found, False
    _assert_room(session, account_id, file, limits)
    now = clock.now()
    values = {
        "id": uuid.uuid4(),
        "account_id": account_id,
        "state": SceneState.UPLOADING,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "file_name": file.name,
        "extension": file.extension,
        "received_bytes": 0,
        "created_at": now,
        "expires_at": now + timedelta(seconds=limits.upload_seconds),
    }
    made = session.execute(insert(AccountScene).values(values).on_conflict_do_nothing().returning(AccountScene.id)).scalar()
    found = _known(session, account_id, file)
    if found is None:
        raise Conflict("this scene was given up just now; send the request again", code="SCENE_GONE")
    return found, made is not None


def _known(session: Session, account_id: uuid.UUID, file: Announced) -> AccountScene | None:
    """One that is being sent, or was; what was refused may be tried again. One that nobody finished in time is begun anew."""
    query = select(AccountScene).where(
        AccountScene.account_id == account_id,
        AccountScene.sha256 == file.sha256,
        AccountScene.extension == file.extension,
        AccountScene.state != SceneState.REJECTED,
        AccountScene.dropped_at.is_(None),
    )
    found = session.scalars(query).one_or_none()
    if found is None:
        return None
    if found.size_bytes != file.size_bytes:
        raise InvalidInput(f"the bytes with this sha256 are {found.size_bytes}, not {file.size_bytes}", code="SIZE_MISMATCH")
    if _is_late(found):
        found.dropped_at = clock.now()
        session.flush()
        return None
    return found


def _assert_room(session: Session, account_id: uuid.UUID, file: Announced, limits: Limits) -> None:
    """Two at once may pass together: the limits keep an account's use in bounds, and are no exact count."""
    mine = (AccountScene.account_id == account_id, AccountScene.dropped_at.is_(None))
    is_open = AccountScene.state != SceneState.READY
    used_bytes, waiting = session.execute(
        select(func.coalesce(func.sum(AccountScene.size_bytes), 0), func.count().filter(is_open)).where(*mine)
    ).one()
    if int(used_bytes) + file.size_bytes > limits.account_bytes:
        message = f"your scenes take {used_bytes} bytes of {limits.account_bytes}; those that no job uses go by themselves"
        raise TooLarge(message, code="SCENES_FULL", details={"used_bytes": int(used_bytes), "max_bytes": limits.account_bytes})
    if waiting >= OPEN_LIMIT:
        message = f"{OPEN_LIMIT} of your scenes are being sent or looked at, or were rejected; send those first, or wait"
        raise RateLimited(message, details={"retry_after": WAIT_SECONDS})


def get_own(session: Session, account_id: uuid.UUID, scene_id: uuid.UUID) -> SceneView:
    """An account's own scene; NotFound for anybody else's, as for none."""
    mine = (AccountScene.id == scene_id, AccountScene.account_id == account_id, AccountScene.dropped_at.is_(None))
    query = select(AccountScene, Scene).outerjoin(Scene, Scene.id == AccountScene.id).where(*mine)
    row = session.execute(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise _not_found()
    return SceneView(row[0], row[1])


def note_use(session: Session, account_id: uuid.UUID, scene_id: uuid.UUID) -> None:
    """A job is ordered with this scene, in the same transaction: no sweep takes its file away from now on.

    Conflict SCENE_NOT_READY while it is on its way or looked at; InvalidInput, with its reason's code, when it was rejected;
    NotFound when it was given up. A scene that came another way is none of this module's, and passed over.
    """
    own = session.get(AccountScene, scene_id, populate_existing=True)
    if own is None or own.account_id != account_id:
        return
    if own.state == SceneState.REJECTED:
        raise InvalidInput(own.error_message or "this scene was rejected", code=own.error_code or "SCENE_REJECTED")
    if own.state != SceneState.READY:
        raise Conflict(f"this scene is still {own.state}; order once its status is ready", code="SCENE_NOT_READY")
    now = clock.now()
    # Noted anew only now and then, so that many orders with one scene don't wait for each other; no sweep is that quick.
    if own.used_at is None or own.used_at < now - timedelta(seconds=NOTED_SECONDS):
        still_there = (AccountScene.id == scene_id, AccountScene.dropped_at.is_(None))
        noted = session.scalar(update(AccountScene).where(*still_there).values(used_at=now).returning(AccountScene.id))
        if noted is None:
            raise _not_found()


def get_awaited(session: Session, scene_id: uuid.UUID) -> AccountScene:
    """A scene whose bytes have come, or may come; NotFound once it is given up or its time is over."""
    found = session.get(AccountScene, scene_id, populate_existing=True)
    if found is None or found.dropped_at is not None or _is_late(found):
        raise NotFound("this upload is over; announce the scene again at POST /rnp/v1/scenes", code="UPLOAD_OVER")
    return found


def _is_late(own: AccountScene) -> bool:
    """Whether its time is over and something of it is still missing."""
    return own.received_bytes < own.size_bytes and own.expires_at < clock.now()


def add_part(session: Session, scene_id: uuid.UUID, offset: int, size_bytes: int, storage_key: str) -> int:
    """Note a stored part; returns how much is there now. Conflict OFFSET_MISMATCH when it does not go on where the last ended,
    InvalidInput PARTS_TOO_SMALL past PARTS_LIMIT of them."""
    own = _lock(session, scene_id)
    if own.state != SceneState.UPLOADING or own.received_bytes != offset:
        raise offset_mismatch(own)
    if (session.scalar(select(func.count()).where(SceneChunk.scene_id == scene_id)) or 0) >= PARTS_LIMIT:
        message = f"a scene comes in {PARTS_LIMIT} parts at most; send it in larger ones, or whole by PUT"
        raise InvalidInput(message, code="PARTS_TOO_SMALL")
    session.add(SceneChunk(scene_id=scene_id, offset_bytes=offset, size_bytes=size_bytes, storage_key=storage_key))
    own.received_bytes, own.received_at = offset + size_bytes, clock.now()
    session.flush()
    return own.received_bytes


def offset_mismatch(own: AccountScene) -> Conflict:
    """What a part is told that begins elsewhere."""
    message = f"{own.received_bytes} of {own.size_bytes} bytes are here; go on from there (Upload-Offset: {own.received_bytes})"
    return Conflict(message, code="OFFSET_MISMATCH", details={"offset": own.received_bytes, "size_bytes": own.size_bytes})


def begin_again(session: Session, scene_id: uuid.UUID, code: str | None = None, message: str | None = None) -> list[str]:
    """Forget what has come of a scene that is not whole, or not what was announced (`code`); returns the files of its parts."""
    own = _lock(session, scene_id)
    if own.state != SceneState.UPLOADING:
        return []
    own.received_bytes, own.error_code, own.error_message = 0, code, message
    return _forget_parts(session, scene_id)


def parts_of(session: Session, scene_id: uuid.UUID) -> list[str]:
    """The files of its parts, in order."""
    query = select(SceneChunk.storage_key).where(SceneChunk.scene_id == scene_id).order_by(SceneChunk.offset_bytes)
    return list(session.scalars(query))


def accept(session: Session, scene_id: uuid.UUID, facts: SceneFacts) -> list[str]:
    """The bytes are stored, those that were announced, and a scene: have it looked at. Returns the files of its parts.

    Harmless to repeat; NotFound for one that was given up meanwhile.
    """
    own = _lock(session, scene_id)
    if own.state != SceneState.UPLOADING:
        return []
    own.state, own.received_bytes = advance(SceneState(own.state), SceneState.INSPECTING), own.size_bytes
    own.error_code = own.error_message = None
    scene = Scene(
        id=own.id,
        account_id=own.account_id,
        sha256=own.sha256,
        size_bytes=own.size_bytes,
        storage_key=file_key(own.id),
        file_name=own.file_name,
        format=facts.format if facts.archive_member is None else own.extension,
        facts={"blender_version": facts.blender_version, "warnings": list(facts.warnings), "format": facts.format},
    )
    session.add(scene)
    session.flush()
    inspections.order_alone(session, scene)
    return _forget_parts(session, scene_id)


def reject(session: Session, scene_id: uuid.UUID, code: str, message: str) -> list[str]:
    """What came is no scene, or not what was announced. Returns the files of its parts. Harmless to repeat."""
    own = _lock(session, scene_id)
    if own.state != SceneState.UPLOADING:
        return []
    own.state = advance(SceneState(own.state), SceneState.REJECTED)
    own.error_code, own.error_message = code[:64], message[:2000]
    return _forget_parts(session, scene_id)


def unfinished(session: Session, quiet_seconds: int, most: int) -> list[uuid.UUID]:
    """Scenes of which every byte came some time ago, and whoever was to look at them did not."""
    whole = (AccountScene.state == SceneState.UPLOADING, AccountScene.received_bytes == AccountScene.size_bytes)
    quiet = AccountScene.received_at < clock.now() - timedelta(seconds=quiet_seconds)
    query = select(AccountScene.id).where(*whole, quiet, AccountScene.dropped_at.is_(None))
    return list(session.scalars(query.order_by(AccountScene.received_at).limit(most)))


def drop(session: Session, rejected_seconds: int, unused_seconds: int, most: int) -> dict[uuid.UUID, list[str]]:
    """Give up scenes that nobody needs, at most so many: {scene: its files}. No job can be ordered with them any more.

    Those given up before whose files were not yet deleted are among them.
    """
    now = clock.now()
    moments = {
        "finished_before": now - timedelta(seconds=FINISHING_SECONDS),
        "rejected_before": now - timedelta(seconds=rejected_seconds),
        "used_before": now - timedelta(seconds=unused_seconds),
    }
    found = session.scalars(_DROP, {**moments, "now": now, "most": most}).all()
    return {scene_id: [file_key(scene_id), *parts_of(session, scene_id)] for scene_id in found}


def forget(session: Session, scene_ids: Sequence[uuid.UUID]) -> None:
    """The files of these are gone; what jobs know of them stays."""
    session.execute(update(Scene).where(Scene.id.in_(scene_ids)).values(storage_key=""))
    session.execute(delete(SceneChunk).where(SceneChunk.scene_id.in_(scene_ids)))
    session.execute(delete(AccountScene).where(AccountScene.id.in_(scene_ids)))


def _lock(session: Session, scene_id: uuid.UUID) -> AccountScene:
    query = select(AccountScene).where(AccountScene.id == scene_id, AccountScene.dropped_at.is_(None)).with_for_update()
    found = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound("this upload is over; announce the scene again at POST /rnp/v1/scenes", code="UPLOAD_OVER")
    return found


def _forget_parts(session: Session, scene_id: uuid.UUID) -> list[str]:
    keys = parts_of(session, scene_id)
    session.execute(delete(SceneChunk).where(SceneChunk.scene_id == scene_id))
    return keys


def _not_found() -> NotFound:
    return NotFound("there is no such scene of yours", code="SCENE_NOT_FOUND")
