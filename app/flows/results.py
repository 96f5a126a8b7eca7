"""Accept results: the bytes are checked before anything counts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.core import outcomes
from app.core.outcomes import Finished
from app.db import Database
from app.errors import InvalidInput, NotFound
from app.formats import image


class Stored(Protocol):
    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


class Store(Protocol):
    """What these flows ask of the file store."""

    def stat(self, key: str) -> Stored: ...

    def open(self, key: str) -> BinaryIO: ...

    def delete(self, key: str) -> None: ...

    def move(self, source: str, target: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Announced:
    """What a node says about its upload."""

    attempt_id: uuid.UUID
    fence: int
    sha256: str
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Judged:
    """`code` is None for an accepted result."""

    attempt_id: uuid.UUID
    code: str | None = None
    message: str = ""
    retryable: bool = False


FATAL = {"RESULT_UNREADABLE", "RESULT_WRONG_SIZE", "RESULT_TOO_LARGE"}


def accept(
    database: Database, store: Store, announced: Sequence[Announced], fee_percent: int, limits: tuple[int, int], max_pixels: int
) -> list[Judged]:
    """Check each upload and book those that hold; a picture that can't count ends its attempt as a failure."""
    with database.unit_of_work() as session:
        wanted = {item.attempt_id: outcomes.expected_picture(session, item.attempt_id, item.fence) for item in announced}
    judged: dict[uuid.UUID, Judged] = {}
    good: list[Finished] = []
    for item in announced:
        expected = wanted[item.attempt_id]
        if expected is None:
            judged[item.attempt_id] = _not_live(item.attempt_id)
        elif expected.is_completed:
            judged[item.attempt_id] = Judged(item.attempt_id)
        else:
            problem = _check(store, item, expected, max_pixels)
            judged[item.attempt_id] = problem or Judged(item.attempt_id)
            if problem is None:
                key = _final(expected.upload_key)
                good.append(Finished(item.attempt_id, item.fence, key, item.sha256, item.size_bytes, item.seconds))
    with database.unit_of_work() as session:
        counted = outcomes.complete(session, good, fee_percent)
        for verdict in judged.values():
            if verdict.code in FATAL:
                fence = next(item.fence for item in announced if item.attempt_id == verdict.attempt_id)
                outcomes.fail(session, verdict.attempt_id, fence, verdict.code, verdict.message, limits)
    for finished in good:
        if finished.attempt_id not in counted:
            judged[finished.attempt_id] = _not_live(finished.attempt_id)
    return [judged[item.attempt_id] for item in announced]


def _not_live(attempt_id: uuid.UUID) -> Judged:
    return Judged(attempt_id, "ATTEMPT_NOT_LIVE", "this attempt is not live any more; its result is not paid")


def _final(upload_key: str) -> str:
    return f"accepted/{upload_key}"


def _check(store: Store, item: Announced, expected: outcomes.ExpectedPicture, max_pixels: int) -> Judged | None:
    """Move the upload away from its signed URL first, so that nobody can swap bytes that are being judged."""
    key = _final(expected.upload_key)
    try:
        store.move(expected.upload_key, key)
    except NotFound:
        pass  # announced before, or not uploaded: the next line tells which
    try:
        stored = store.stat(key)
    except NotFound:
        return Judged(item.attempt_id, "RESULT_MISSING", "nothing was uploaded; upload, then announce", True)
    if stored.sha256 != item.sha256.lower() or stored.size_bytes != item.size_bytes:
        store.delete(key)
        return Judged(item.attempt_id, "RESULT_HASH_MISMATCH", "the stored bytes have another hash or size; upload again", True)
    with store.open(key) as file:
        problem = check_picture(item.attempt_id, file.read(), expected, max_pixels)
    if problem is not None:
        store.delete(key)
    return problem


def check_picture(
    attempt_id: uuid.UUID, data: bytes, expected: outcomes.ExpectedPicture, max_pixels: int
) -> Judged | None:
    """Decode every pixel and compare with what was ordered; None when all is well."""
    try:
        facts = image.decode(data, expected.format, max_pixels)  # type: ignore[arg-type]
    except InvalidInput as error:
        return Judged(attempt_id, "RESULT_UNREADABLE", error.message)
    for asked, got, name in ((expected.width, facts.width, "wide"), (expected.height, facts.height, "high")):
        if asked is not None and asked != got:
            return Judged(attempt_id, "RESULT_WRONG_SIZE", f"the picture is {got} pixels {name}, {asked} were ordered")
    return None


