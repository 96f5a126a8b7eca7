"""Scenes on their way to the hub: in one piece or in parts, checked once they are whole, then looked at by a node.

Parts are files of their own in the store, whichever it is, and the database says how far they reach: so an upload goes on where
it broke off, through any process of the hub, and every store that keeps files can do it.
"""

import hashlib
import io
import os
import shutil
import tempfile
import time
import uuid
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Protocol

import structlog

from app import offload
from app.config import Settings
from app.core import account_scenes
from app.core.account_scenes import PARTS, Announced, Limits
from app.db import Database
from app.errors import Conflict, InvalidInput, LightyardError, NotFound, TooLarge
from app.failpoints import failpoint
from app.formats.limits import ARCHIVE_EXTENSION, SCENE_EXTENSIONS, SceneFacts, SceneLimits, parse_version
from app.formats.names import clean_file_name, extension_of
from app.formats.scene import inspect_scene
from app.models.account_scenes import AccountScene
from app.values.states import SceneState

log = structlog.get_logger()
PART_BYTES = 8 * 1024 * 1024  # what a broken connection costs at most
COPY_BYTES = 1024 * 1024
QUIET_SECONDS = 60  # whoever sent the last byte is given so long to have the whole looked at
AT_ONCE = 100
KINDS = (*SCENE_EXTENSIONS, ARCHIVE_EXTENSION)


class Store(Protocol):
    """What this flow asks of the file store."""

    def put(self, key: str, stream: Any, max_bytes: int, *, sha256: str | None = None) -> Any: ...

    def open(self, key: str) -> BinaryIO: ...

    def delete(self, key: str) -> None: ...

    def delete_older(self, prefix: str, seconds: float) -> int: ...


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Scenes:
    """Where scenes are kept, and how much of them."""

    database: Database
    store: Store
    settings: Settings

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.max_upload_bytes, settings.account_scene_bytes, settings.scene_upload_seconds)


def send(scenes: Scenes, account_id: uuid.UUID, stream: Any, file_name: str) -> tuple[uuid.UUID, bool]:
    """Take in a whole file, seekable; returns the account's scene with these bytes, and whether it is new.

    InvalidInput for what is no scene: nothing is kept of it.
    """
    name = clean_file_name(file_name)
    size_bytes = stream.seek(0, os.SEEK_END)
    facts = _look(stream, name, scenes.settings)
    file = Announced(_hash(stream), size_bytes, name, extension_of(name))
    with scenes.database.unit_of_work() as session:
        own, is_new = account_scenes.announce(session, account_id, file, scenes.limits)
    if own.state == SceneState.UPLOADING:
        _keep(scenes, own, stream, facts)
    return own.id, is_new


def announce(scenes: Scenes, account_id: uuid.UUID, sha256: str, size_bytes: int, file_name: str) -> tuple[uuid.UUID, bool]:
    """The account's scene with these bytes, and whether it is new: then they are waited for. Errors as `account_scenes.announce`;
    InvalidInput for a name that no scene has."""
    name = clean_file_name(file_name)
    file = Announced(sha256.lower(), size_bytes, name, extension_of(name))
    if file.extension not in KINDS:
        raise InvalidInput(f"scenes are {' '.join(KINDS)}; name the file as what it is", code="SCENE_FORMAT_UNSUPPORTED")
    with scenes.database.unit_of_work() as session:
        own, is_new = account_scenes.announce(session, account_id, file, scenes.limits)
    return own.id, is_new


def receive(scenes: Scenes, scene_id: uuid.UUID, stream: Readable, offset: int | None) -> AccountScene:
    """Take in bytes of an announced scene from `offset` on, or, without one, from its beginning; returns how it stands.

    What came before a connection broke is kept, whole parts at a time and the last piece too. The last byte has the whole looked
    at: InvalidInput when it is not what was announced, or no scene. Conflict OFFSET_MISMATCH for another offset than the one
    reached, TooLarge for more bytes than were announced.
    """
    with scenes.database.unit_of_work() as session:
        own = account_scenes.get_awaited(session, scene_id)
        if own.state != SceneState.UPLOADING:
            _assert_nothing_more(own, offset)
            return own
        stale = account_scenes.begin_again(session, scene_id) if offset is None else []
    _delete(scenes.store, stale)
    reached, trouble = _receive_parts(scenes, own, stream, offset or 0)
    if trouble is not None:
        raise trouble
    if reached == own.size_bytes:
        finish(scenes, scene_id)
    with scenes.database.unit_of_work() as session:
        return account_scenes.get_awaited(session, scene_id)


def _assert_nothing_more(own: AccountScene, offset: int | None) -> None:
    """A whole scene may be sent again, which changes nothing, and so may its last part's end."""
    if offset is not None and offset != own.size_bytes:
        raise account_scenes.offset_mismatch(own)
    if own.state == SceneState.REJECTED:
        raise Conflict(own.error_message or "this scene was rejected", code=own.error_code or "SCENE_REJECTED")


def _receive_parts(scenes: Scenes, own: AccountScene, stream: Readable, offset: int) -> tuple[int, Exception | None]:
    """How far the scene reaches now, and what broke off the rest."""
    if offset != own.received_bytes and offset:
        raise account_scenes.offset_mismatch(own)
    while True:
        room = own.size_bytes - offset
        piece, trouble = _read_piece(stream, min(PART_BYTES, room + 1))
        if len(piece) > room:
            message = f"more came than the {own.size_bytes} bytes that were announced; announce the scene as it is"
            raise TooLarge(message, details={"max_bytes": own.size_bytes})
        if piece:
            offset = _keep_part(scenes, own, offset, piece)
        if trouble is not None or len(piece) < min(PART_BYTES, room + 1):
            return offset, trouble


def _read_piece(stream: Readable, most: int) -> tuple[bytes, Exception | None]:
    """Up to so many bytes, fewer at the end; and the error that ended it early, to be raised once they are kept."""
    piece = bytearray()
    try:
        while len(piece) < most and (data := stream.read(min(COPY_BYTES, most - len(piece)))):
            piece += data
    except Exception as error:  # noqa: BLE001  raised by whoever keeps the piece
        return bytes(piece), error
    return bytes(piece), None


def _keep_part(scenes: Scenes, own: AccountScene, offset: int, piece: bytes) -> int:
    """Store a part and note it; one that lost a race for its place goes."""
    key = account_scenes.part_key(own.id, offset)
    scenes.store.put(key, io.BytesIO(piece), len(piece))
    failpoint("scene.part_stored")
    try:
        with scenes.database.unit_of_work() as session:
            return account_scenes.add_part(session, own.id, offset, len(piece), key)
    except (Conflict, InvalidInput, NotFound):
        scenes.store.delete(key)
        raise


def finish(scenes: Scenes, scene_id: uuid.UUID) -> None:
    """Put a scene together whose every byte is there, check it, and have a node look at it. Harmless to repeat, or to do twice at
    once. InvalidInput for what is refused: that is noted, too."""
    with scenes.database.unit_of_work() as session:
        own = account_scenes.get_awaited(session, scene_id)
        parts = account_scenes.parts_of(session, scene_id)
    if own.state != SceneState.UPLOADING:
        return
    with tempfile.TemporaryFile() as whole:
        for key in parts:
            with scenes.store.open(key) as part:
                shutil.copyfileobj(part, whole, COPY_BYTES)
            time.sleep(0)  # the other requests of this process have their turn
        facts = _check(scenes, own, whole)
        _keep(scenes, own, whole, facts)


def _check(scenes: Scenes, own: AccountScene, whole: IO[bytes]) -> SceneFacts:
    """Other bytes than those announced may be sent again, to the same address; what is no scene is rejected."""
    sha256 = _hash(whole)
    try:
        if sha256 != own.sha256:
            message = "the bytes that came are not those that were announced (sha256 differs): send them again, from the start"
            raise InvalidInput(message, code="HASH_MISMATCH", details={"sha256": sha256, "expected_sha256": own.sha256})
        return _look(whole, own.file_name, scenes.settings)
    except InvalidInput as refusal:
        note = account_scenes.reject if sha256 == own.sha256 else account_scenes.begin_again
        with scenes.database.unit_of_work() as session:
            stale = note(session, own.id, refusal.code, refusal.message)
        _delete(scenes.store, stale)
        raise


def _keep(scenes: Scenes, own: AccountScene, stream: IO[bytes], facts: SceneFacts) -> None:
    stream.seek(0)
    scenes.store.put(account_scenes.file_key(own.id), stream, own.size_bytes, sha256=own.sha256)
    failpoint("scene.stored")
    try:
        with scenes.database.unit_of_work() as session:
            stale = account_scenes.accept(session, own.id, facts)
    except NotFound:  # it was given up meanwhile, and no sweep may come by again
        scenes.store.delete(account_scenes.file_key(own.id))
        raise
    _delete(scenes.store, stale)


def _look(stream: IO[bytes], name: str, settings: Settings) -> SceneFacts:
    limits = SceneLimits(
        max_blender_version=parse_version(settings.max_blender_version), max_uncompressed_bytes=settings.max_unpacked_bytes
    )
    stream.seek(0)
    return offload.run(inspect_scene, stream, name, limits)


def _hash(stream: Any) -> str:
    stream.seek(0)
    return offload.run(hashlib.file_digest, stream, "sha256").hexdigest()


def _delete(store: Store, keys: list[str]) -> None:
    for key in keys:
        store.delete(key)


def finish_waiting(scenes: Scenes) -> int:
    """Look at scenes of which every byte has come and whose last request broke off. Returns how many."""
    with scenes.database.unit_of_work() as session:
        waiting = account_scenes.unfinished(session, QUIET_SECONDS, AT_ONCE)
    for scene_id in waiting:
        try:
            finish(scenes, scene_id)
        except InvalidInput as refusal:
            log.info("scene.rejected", scene_id=str(scene_id), code=refusal.code)
        except LightyardError as error:
            log.warning("scene.not_now", scene_id=str(scene_id), error=error.message)
        except Exception:  # noqa: BLE001  one file that nobody can read must not keep all others waiting
            log.exception("scene.not_now", scene_id=str(scene_id))
    return len(waiting)


def sweep(scenes: Scenes) -> int:
    """Delete scenes that nobody needs (`account_scenes.drop`), and parts that nobody knows. Returns how many scenes."""
    settings, deleted = scenes.settings, 0
    while True:
        with scenes.database.unit_of_work() as session:
            dropped = account_scenes.drop(session, settings.upload_unused_seconds, settings.scene_unused_seconds, AT_ONCE)
        for keys in dropped.values():
            _delete(scenes.store, keys)
        with scenes.database.unit_of_work() as session:
            account_scenes.forget(session, list(dropped))
        deleted += len(dropped)
        if len(dropped) < AT_ONCE:
            break
    scenes.store.delete_older(PARTS, 2 * settings.scene_upload_seconds)
    return deleted
