"""Accept results: the bytes are checked before anything counts."""

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import structlog

from app import offload
from app.core import attempts, completions, outcomes
from app.core.completions import Finished, Terms
from app.core.expected_results import ExpectedResult
from app.db import Database
from app.errors import InvalidInput, NotFound, TooLarge
from app.failpoints import failpoint
from app.formats import film, image, video
from app.values.attempt_steps import Steps
from app.values.json_text import read_json
from app.values.states import AttemptState


class Stored(Protocol):
    @property
    def size_bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


class Store(Protocol):
    """What these flows ask of the file store."""

    def open(self, key: str) -> BinaryIO: ...

    def stat(self, key: str) -> Stored: ...

    def local_copy(self, key: str, max_bytes: int) -> AbstractContextManager[tuple[Stored, Path]]: ...

    def delete(self, key: str) -> None: ...

    def move_all(self, pairs: Sequence[tuple[str, str]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Announced:
    """What a node says about its upload."""

    attempt_id: uuid.UUID
    fence: int
    sha256: str
    size_bytes: int
    seconds: float
    content_type: str = ""
    steps: Steps = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How results are judged: `limits` are (failures, attempts in all); `terms` share what was held for dispatched jobs. A
    picture may have `max_bytes`, a film `max_film_bytes`, a run's result `max_run_bytes`, a compute task's `max_task_bytes`."""

    limits: tuple[int, int]
    max_bytes: int
    max_pixels: int
    max_run_bytes: int
    terms: Terms
    max_task_bytes: int = 0
    max_film_bytes: int = 0

    def most_bytes(self, format: str) -> int:
        """Of a result of this format."""
        if format in RUN_FORMATS:
            return self.max_task_bytes if format == ARCHIVE else self.max_run_bytes
        return self.max_film_bytes if format == FILM else self.max_bytes

    @property
    def most_of_any(self) -> int:
        return max(self.max_bytes, self.max_run_bytes, self.max_task_bytes, self.max_film_bytes)


@dataclass(frozen=True, slots=True)
class Judged:
    """`code` is None for an accepted result."""

    attempt_id: uuid.UUID
    code: str | None = None
    message: str = ""
    retryable: bool = False


log = structlog.get_logger()
BATCH_BYTES = 64 * 1024 * 1024
JSON_TYPE = "application/json"
ARCHIVE, PROMPT_VIDEO = "ARCHIVE", "VIDEO"
FILM = "MP4"
FPS_TOLERANCE = 0.001  # of the rate: Blender's is a fraction of small numbers
RUN_FORMATS = ("JSON", "BYTES", ARCHIVE)
FATAL = {"RESULT_UNREADABLE", "RESULT_WRONG_SIZE", "RESULT_WRONG_COLORS", "RESULT_TOO_LARGE"}


def accept(
    database: Database,
    store: Store,
    announced: Sequence[Announced],
    wanted: Mapping[uuid.UUID, ExpectedResult],
    rules: Rules,
) -> list[Judged]:
    """Check each upload and book those that hold; a result that can't count ends its attempt as a failure.

    `wanted` says what each must be; an attempt that is not in it is not live.
    """
    known = [_known(item, wanted.get(item.attempt_id)) for item in announced]
    judged = {verdict.attempt_id: verdict for verdict in known if verdict is not None}
    new = [(item, wanted[item.attempt_id]) for item in announced if item.attempt_id not in judged]
    moved = [_Moved(item, expected, _final(expected.upload_key)) for item, expected in new]
    good: list[Finished] = []
    for found, problem in zip(moved, _check_all(store, moved, rules), strict=True):
        item = found.item
        judged[item.attempt_id] = problem or Judged(item.attempt_id)
        if problem is None:
            good.append(Finished(item.attempt_id, item.fence, found.key, item.sha256, item.size_bytes, item.seconds))
    if good:
        failpoint("result.moved")
    fatal = [verdict for verdict in judged.values() if verdict.code in FATAL]
    with database.unit_of_work() as session:
        if fatal:
            outcomes.lock_jobs(session, wanted)
        counted = completions.complete(session, good, rules.terms)
        for verdict in fatal:
            fence = next(item.fence for item in announced if item.attempt_id == verdict.attempt_id)
            outcomes.fail(session, verdict.attempt_id, fence, str(verdict.code), verdict.message, rules.limits)
        if counted:
            failpoint("result.booking")
    if counted:
        failpoint("result.booked")
    for finished in good:
        if finished.attempt_id not in counted:
            store.delete(finished.key)
            judged[finished.attempt_id] = _not_live(finished.attempt_id)
    for item in announced:
        _tell(item, judged[item.attempt_id], wanted.get(item.attempt_id), item.attempt_id in counted)
    return [judged[item.attempt_id] for item in announced]


def _tell(item: Announced, verdict: Judged, expected: ExpectedResult | None, has_counted: bool) -> None:
    """One line for each: a result that counted, or one that did not."""
    origin = attempts.Origin({}) if expected is None else expected.origin
    if verdict.code is not None:
        facts = {"code": verdict.code, "reason": verdict.message, "attempt_id": str(item.attempt_id)}
        log.warning("result.refused", **origin.ids, **facts)
    elif has_counted:
        attempts.tell(item.attempt_id, origin, AttemptState.COMPLETED, steps=item.steps, size_bytes=item.size_bytes)


def accept_reports(database: Database, reports: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Keep what inspections found: {attempt_id, fence, seconds, report} each."""
    judged = []
    for item in reports:
        with database.unit_of_work() as session:
            kept = outcomes.inspected(session, item["attempt_id"], item["fence"], item["seconds"], item["report"])
        judged.append(Judged(item["attempt_id"]) if kept else _not_live(item["attempt_id"]))
    return judged


def _not_live(attempt_id: uuid.UUID) -> Judged:
    return Judged(attempt_id, "ATTEMPT_NOT_LIVE", "this attempt is not live any more; its result is not paid")


@dataclass(frozen=True, slots=True)
class _Moved:
    """An announced upload, what it must be, and the key that it is judged under."""

    item: Announced
    expected: ExpectedResult
    key: str


def _final(upload_key: str) -> str:
    """A key of this judgement's own: a second announcement at the same time can't put other bytes in its place."""
    return f"accepted/{upload_key}-{uuid.uuid4().hex}"


def _known(item: Announced, expected: ExpectedResult | None) -> Judged | None:
    """The verdict that needs no look at the bytes; None when they must be looked at."""
    if expected is None:
        return _not_live(item.attempt_id)
    return Judged(item.attempt_id) if expected.is_completed else None


def stored(store: Store, upload_key: str, rules: Rules) -> tuple[str, int] | None:
    """(sha256, size in bytes) of what an attempt has uploaded, for a node that announces neither; None for nothing.

    What is too large for any result is not read: it will be refused, whatever its hash.
    """
    try:
        with store.open(upload_key) as file:
            size_bytes = file.seek(0, io.SEEK_END)
        if size_bytes > rules.most_of_any:
            return "", size_bytes
        found = store.stat(upload_key)
    except NotFound:
        return None
    return found.sha256, found.size_bytes


def _check_all(store: Store, moved: Sequence[_Moved], rules: Rules) -> list[Judged | None]:
    """Uploads are moved away from their signed URLs first, so that nobody can swap bytes that are being judged."""
    store.move_all([(found.expected.upload_key, found.key) for found in moved])
    verdicts: list[Judged | None] = []
    for batch in _batches(moved):
        with ExitStack() as copies:
            looks = [_look(store, copies, found, rules) for found in batch]
            verdicts += offload.run(_decode_all, batch, looks, rules.max_pixels)
    for found, verdict in zip(moved, verdicts, strict=True):
        if verdict is not None:
            store.delete(found.key)
    return verdicts


def _batches(moved: Sequence[_Moved]) -> Iterator[Sequence[_Moved]]:
    """Pictures that are copied and decoded together: as many as stay small, by what was announced of them."""
    start, total_bytes = 0, 0
    for index, found in enumerate(moved):
        total_bytes += found.item.size_bytes
        if total_bytes > BATCH_BYTES and index > start:
            yield moved[start:index]
            start, total_bytes = index, found.item.size_bytes
    if moved:
        yield moved[start:]


def _look(store: Store, copies: ExitStack, found: _Moved, rules: Rules) -> Path | Judged:
    """The upload as a local file, if it is the one that was announced."""
    item = found.item
    max_bytes = rules.most_bytes(found.expected.format)
    try:
        stored, path = copies.enter_context(store.local_copy(found.key, min(max_bytes, item.size_bytes)))
    except NotFound:
        return Judged(item.attempt_id, "RESULT_MISSING", "nothing was uploaded; upload, then announce", True)
    except TooLarge:
        return _too_large(item, max_bytes) if item.size_bytes > max_bytes else _other_bytes(item)
    if stored.sha256 != item.sha256.lower() or stored.size_bytes != item.size_bytes:
        return _other_bytes(item)
    return path


def _too_large(item: Announced, max_bytes: int) -> Judged:
    return Judged(item.attempt_id, "RESULT_TOO_LARGE", f"the result has {item.size_bytes} bytes; {max_bytes} are allowed")


def _other_bytes(item: Announced) -> Judged:
    return Judged(item.attempt_id, "RESULT_HASH_MISMATCH", "the stored bytes have another hash or size; upload again", True)


def _decode_all(batch: Sequence[_Moved], looks: Sequence[Path | Judged], max_pixels: int) -> list[Judged | None]:
    return [
        look if isinstance(look, Judged) else _check(found.item, look, found.expected, max_pixels)
        for found, look in zip(batch, looks, strict=True)
    ]


def _check(item: Announced, path: Path, expected: ExpectedResult, max_pixels: int) -> Judged | None:
    if expected.format in RUN_FORMATS:
        return _check_run(item, path, expected)
    if expected.format == FILM:
        return _check_film(item, path, expected)
    if expected.format == PROMPT_VIDEO:
        return _check_video(item, path)
    return check_picture(item.attempt_id, path, expected, max_pixels)


def _check_run(item: Announced, path: Path, expected: ExpectedResult) -> Judged | None:
    """A run's bytes are what they are; JSON must be JSON, where the kind of work or the node says that it is."""
    if expected.format == "JSON" or item.content_type.partition(";")[0].strip().lower() == JSON_TYPE:
        try:
            read_json(path.read_bytes())
        except InvalidInput as error:
            return Judged(item.attempt_id, "RESULT_UNREADABLE", f"the result is no sound JSON: {error.message}")
    return None


def _check_film(item: Announced, path: Path, expected: ExpectedResult) -> Judged | None:
    """A film must have every frame, at the size and the rate that were ordered."""
    try:
        facts = film.read(path)
    except InvalidInput as error:
        return Judged(item.attempt_id, "RESULT_UNREADABLE", error.message)
    if facts.frames != expected.frames:
        return Judged(item.attempt_id, "RESULT_UNREADABLE", f"the film has {facts.frames} frames, {expected.frames} were ordered")
    if expected.fps is None or abs(facts.fps - expected.fps) > FPS_TOLERANCE * expected.fps:
        return Judged(item.attempt_id, "RESULT_UNREADABLE", f"the film shows {facts.fps:g} a second, not {expected.fps}")
    return _check_size(item.attempt_id, facts.width, facts.height, expected)


def _check_video(item: Announced, path: Path) -> Judged | None:
    """What a model made of a prompt is looked at, and not decoded: how long it is and how large, the model has decided."""
    try:
        video.check_mp4(path)
    except InvalidInput as error:
        return Judged(item.attempt_id, "RESULT_UNREADABLE", error.message)
    return None


def check_picture(
    attempt_id: uuid.UUID, picture: bytes | Path, expected: ExpectedResult, max_pixels: int
) -> Judged | None:
    """Decode every pixel and compare with what was ordered; None when all is well."""
    try:
        facts = image.decode(picture, expected.format, max_pixels)  # type: ignore[arg-type]
    except InvalidInput as error:
        return Judged(attempt_id, "RESULT_UNREADABLE", error.message)
    problem = _check_size(attempt_id, facts.width, facts.height, expected)
    if problem is None and expected.colors is not None and facts.colors != expected.colors:
        said = f"the tile is in {facts.colors}, and settings.color_mode and color_depth say {expected.colors}"
        return Judged(attempt_id, "RESULT_WRONG_COLORS", said)
    return problem


def _check_size(attempt_id: uuid.UUID, width: int, height: int, expected: ExpectedResult) -> Judged | None:
    for asked, got, name in ((expected.width, width, "wide"), (expected.height, height, "high")):
        if asked is not None and asked != got:
            return Judged(attempt_id, "RESULT_WRONG_SIZE", f"the picture is {got} pixels {name}, {asked} were ordered")
    return None


