"""A still that was rendered in tiles becomes one picture: read, stitch, write."""

import tempfile
import uuid
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import structlog

from app import offload
from app.core import render_stitches
from app.core.render_stitches import BeingStitched, Stitch
from app.db import Database
from app.errors import NotFound
from app.failpoints import failpoint
from app.formats import stitching
from app.formats.stitching import Part, StitchImpossible


class Store(Protocol):
    """What this flow asks of the file store."""

    def put(self, key: str, stream: BinaryIO, max_bytes: int) -> Any: ...

    def local_copy(self, key: str, max_bytes: int) -> AbstractContextManager[tuple[Any, Path]]: ...

    def delete(self, key: str) -> None: ...


log = structlog.get_logger()
MADE, NOTHING, BUSY = "made", "nothing to do", "somebody is at it"


def stitch(database: Database, store: Store, job_id: uuid.UUID) -> str:
    """Put a job's tiles together, once all are there: MADE, NOTHING, or BUSY: ask again then, for whoever is at it may
    be killed. Harmless to repeat: the same tiles give the same bytes under the same key, and its unit is completed once."""
    try:
        with database.unit_of_work() as session:
            work = render_stitches.take(session, job_id)
    except BeingStitched:
        return BUSY
    return NOTHING if work is None else write(database, store, work)


def write(database: Database, store: Store, work: Stitch) -> str:
    """Make the picture whose turn was taken, and book it."""
    try:
        made = _make(store, work)
    except StitchImpossible as error:
        with database.unit_of_work() as session:
            render_stitches.give_up(session, work, error.message)
        return NOTHING
    except NotFound as error:  # the job was called off, and its tiles are gone; else a file is not there yet
        log.warning("stitch.tiles_missing", job_id=str(work.job_id), reason=error.message)
        return BUSY
    failpoint("stitch.stored")
    with database.unit_of_work() as session:
        is_new = render_stitches.complete(session, work, made.sha256, made.size_bytes)
        failpoint("stitch.booking")
        is_needed = render_stitches.is_made(session, work)
    if not is_needed:
        store.delete(work.key)
    return MADE if is_new else NOTHING


def _make(store: Store, work: Stitch) -> Any:
    """The whole picture in the store: its hash and its size."""
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="stitch-"))
        parts = []
        for tile in work.tiles:
            _, path = opened.enter_context(store.local_copy(tile.key, tile.size_bytes))
            parts.append(Part(path, tile.box))
        target = Path(folder) / "whole"
        offload.run(stitching.stitch, parts, work.format, target)
        with target.open("rb") as file:
            return store.put(work.key, file, target.stat().st_size)
