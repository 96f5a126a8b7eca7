"""Results that a provider's own software delivers: the whole job at once, a picture or a zip of frames."""

import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from app import offload
from app.config import Settings
from app.core import completions, jobs, provider_outcomes
from app.core.completions import Finished
from app.core.expected_results import ExpectedResult
from app.db import Database
from app.errors import Conflict, InvalidInput, TooLarge
from app.flows.results import check_picture
from app.formats import bundle
from app.values.states import JobState, PaymentState

CHUNK_BYTES = 1024 * 1024


class Store(Protocol):
    def put(self, key: str, stream: Any, max_bytes: int) -> Any: ...

    def delete(self, key: str) -> None: ...


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """One checked frame in the store."""

    key: str
    sha256: str
    size_bytes: int


def deliver(
    database: Database, store: Store, job_id: uuid.UUID, stream: IO[bytes], seconds: float, limits: Settings
) -> bool:
    """Check every frame, then book them all; nothing counts unless all of it does.

    False when the job was completed before: delivering twice is harmless. A job that ended otherwise is a Conflict.
    """
    with database.unit_of_work() as session:
        job = jobs.get(session, job_id)
        if job.state == JobState.COMPLETED:
            return False
        if job.payment_state != PaymentState.CONFIRMED or job.state != JobState.OPEN:
            raise Conflict("this job is not under way", code="JOB_NOT_OPEN")
        frames = [unit.frame or 0 for unit in jobs.units_of(session, job_id)]
    settings = job.settings
    expected = ExpectedResult("", settings["output_format"], settings.get("width"), settings.get("height"), False)
    files: dict[int, Delivered] = {}
    try:
        _take_in(store, job_id, stream, frames, expected, limits, files)
    except BaseException:
        _delete(store, files, set())
        raise
    try:
        kept = _book(database, job_id, files, seconds / len(frames))
    except Conflict:  # any other error may have come after the commit: the files stay, for they may be the results by now
        _delete(store, files, set())
        if not _is_completed(database, job_id):
            raise
        return False
    _delete(store, files, kept)
    return bool(kept)


def _delete(store: Store, files: dict[int, Delivered], kept: set[int]) -> None:
    for frame in files.keys() - kept:
        store.delete(files[frame].key)


def _book(database: Database, job_id: uuid.UUID, files: dict[int, Delivered], seconds_per_frame: float) -> set[int]:
    """Give the unfinished frames to this delivery and complete them; returns which frames those were."""
    with database.unit_of_work() as session:
        taken = provider_outcomes.take_over(session, job_id)
        finished = [
            Finished(attempt, fence, files[frame].key, files[frame].sha256, files[frame].size_bytes, seconds_per_frame)
            for frame, (attempt, fence) in taken.items()
        ]
        completions.complete(session, finished)
    return set(taken)


def _is_completed(database: Database, job_id: uuid.UUID) -> bool:
    with database.unit_of_work() as session:
        return jobs.get(session, job_id).state == JobState.COMPLETED


def _take_in(
    store: Store,
    job_id: uuid.UUID,
    stream: IO[bytes],
    frames: list[int],
    expected: ExpectedResult,
    limits: Settings,
    files: dict[int, Delivered],
) -> None:
    """Check and store each frame, noting it in `files` as it goes, so that a refusal can clean up after itself."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "result"
        offload.run(_copy, stream, whole, limits.max_upload_bytes)
        pictures = _pictures(whole, frames, limits.max_upload_bytes)
        while (found := offload.run(next, pictures, None)) is not None:
            frame, picture = found
            problem = offload.run(check_picture, job_id, picture, expected, limits.max_pixels)
            if problem is not None:
                raise InvalidInput(f"frame {frame}: {problem.message}", code=problem.code)
            key = f"accepted/provider/{job_id}/{uuid.uuid4().hex}"
            with picture.open("rb") as file:
                stored = store.put(key, file, limits.max_upload_bytes)
            files[frame] = Delivered(key, stored.sha256, stored.size_bytes)


def _pictures(whole: Path, frames: list[int], max_bytes: int) -> Iterator[tuple[int, Path]]:
    """Each frame as a file of its own; the next one overwrites it."""
    if len(frames) == 1:
        yield frames[0], whole
        return
    picture = whole.with_name("frame")
    for frame, stream in bundle.read_bundle(whole, frames, max_bytes):
        _copy(stream, picture, max_bytes)
        yield frame, picture


def _copy(stream: Source, path: Path, max_bytes: int) -> None:
    left = max_bytes
    with path.open("wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise TooLarge(f"a result may be at most {max_bytes} bytes")
            file.write(chunk)
