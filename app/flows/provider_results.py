"""Results that a provider's own software delivers: the whole job at once, a picture or a zip of frames."""

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, Protocol

from app.config import Settings
from app.core import jobs, outcomes
from app.core.outcomes import ExpectedPicture, Finished
from app.db import Database
from app.errors import Conflict, InvalidInput, TooLarge
from app.flows.results import check_picture
from app.formats import bundle


class Store(Protocol):
    def put(self, key: str, stream: Any, max_bytes: int) -> Any: ...


def deliver(
    database: Database, store: Store, job_id: uuid.UUID, stream: IO[bytes], seconds: float, fee_percent: int, limits: Settings
) -> None:
    """Check every frame, then book them all; nothing counts unless all of it does."""
    with database.unit_of_work() as session:
        job = jobs.get(session, job_id)
        if job.payment_state != "confirmed" or job.state != "open":
            raise Conflict("this job is not under way", code="JOB_NOT_OPEN")
        frames = [unit.frame or 0 for unit in jobs.units_of(session, job_id)]
    settings = job.settings
    expected = ExpectedPicture("", settings["output_format"], settings.get("width"), settings.get("height"), False)
    files: dict[int, tuple[str, str, int]] = {}
    for frame, data in _pictures(stream, frames, limits.max_upload_bytes):
        problem = check_picture(job_id, data, expected, limits.max_pixels)
        if problem is not None:
            raise InvalidInput(f"frame {frame}: {problem.message}", code=problem.code)
        key = f"accepted/provider/{job_id}/{uuid.uuid4().hex}"
        store.put(key, BytesIO(data), limits.max_upload_bytes)
        files[frame] = (key, hashlib.sha256(data).hexdigest(), len(data))
    with database.unit_of_work() as session:
        taken = outcomes.take_over(session, job_id)
        finished = [
            Finished(attempt, fence, *files[frame], seconds / len(frames)) for frame, (attempt, fence) in taken.items()
        ]
        session.flush()
        outcomes.complete(session, finished, fee_percent)


def _pictures(stream: IO[bytes], frames: list[int], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    if len(frames) == 1:
        data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise TooLarge(f"a result may be at most {max_bytes} bytes")
        yield frames[0], data
        return
    with tempfile.NamedTemporaryFile(suffix=".zip") as spool:
        shutil.copyfileobj(stream, spool)
        spool.flush()
        for frame, file in bundle.read_bundle(spool.name, frames, max_bytes):
            yield frame, file.read()
