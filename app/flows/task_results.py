"""Results that a provider's own software delivers for a task: held against their hash before anything counts."""

import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.core import expected_results, task_assignments, tasks
from app.core.tasks import TaskView
from app.db import Database, Session
from app.errors import Conflict, InvalidInput
from app.flows import results
from app.flows.results import Announced, Rules, Store
from app.models.nodes import Provider
from app.values import clock
from app.values.states import AttemptState


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the software says of its result. `url`, where it is given, must be the one that it was told to upload to."""

    sha256: str
    url: str | None = None
    seconds: float | None = None


def plain(url: str) -> str:
    """A signed address without what makes it work: it names the file."""
    return url.partition("?")[0]


def deliver(
    database: Database, store: Store, provider_id: uuid.UUID, task_id: uuid.UUID, said: Delivery, rules: Rules
) -> TaskView:
    """Check the upload, complete the task and pay for it; the same again is answered alike.

    InvalidInput VERIFICATION_FAILED for a hash that is not the upload's, an upload that is not there or too large, or one
    elsewhere: nothing has changed then, and it may be tried again. Errors as `task_assignments.held`.
    """
    with database.unit_of_work() as session:
        done = _done(session, provider_id, task_id)
        if done is not None:
            return _same(done, said)
        view = task_assignments.held(session, session.get_one(Provider, provider_id), task_id)
    attempt = view.attempt
    if attempt is None:
        raise _refusal(task_id, "nobody has this task")
    if said.url is not None and not _names(said.url, attempt.upload_key):
        raise _refusal(task_id, "result_storage_url is not the one that this task was accepted with")
    stored = results.stored(store, attempt.upload_key, rules)
    if stored is None:
        raise _refusal(task_id, "nothing was uploaded to upload_url yet")
    sha256, size_bytes = stored
    if size_bytes > rules.max_task_bytes:
        raise _refusal(task_id, f"the result has {size_bytes} bytes, and {rules.max_task_bytes} are allowed")
    if sha256 != _hex(said.sha256):
        raise _refusal(task_id, "result_hash is not the SHA-256 of what was uploaded", expected=sha256, got=said.sha256)
    begun = view.task.running_at or attempt.started_at
    seconds = said.seconds if said.seconds is not None else max(0.0, (clock.now() - begun).total_seconds())
    item = Announced(attempt.id, attempt.fence, sha256, size_bytes, seconds)
    with database.read_only() as session:
        wanted = expected_results.find(session, None, {attempt.id: attempt.fence})
    return _accept(database, store, provider_id, task_id, item, wanted, said, rules)


def _accept(
    database: Database,
    store: Store,
    provider_id: uuid.UUID,
    task_id: uuid.UUID,
    item: Announced,
    wanted: dict[uuid.UUID, expected_results.ExpectedResult],
    said: Delivery,
    rules: Rules,
) -> TaskView:
    """The bytes are moved out of the reach of their address and looked at again, then booked."""
    [verdict] = results.accept(database, store, [item], wanted, rules)
    with database.unit_of_work() as session:
        done = _done(session, provider_id, task_id)
        if done is not None:
            return _same(done, said)
        view = tasks.get(session, task_id)
    task_assignments.assert_open(view)
    if verdict.code == "ATTEMPT_NOT_LIVE":
        raise Conflict("this task was given back meanwhile", code="TASK_NOT_HELD", details={"task_id": str(task_id)})
    raise _refusal(task_id, verdict.message)


def _done(session: Session, provider_id: uuid.UUID, task_id: uuid.UUID) -> TaskView | None:
    """The task, if it is this provider's software that completed it."""
    view = tasks.get(session, task_id)
    attempt = view.attempt
    is_done = attempt is not None and attempt.provider_id == provider_id and attempt.state == AttemptState.COMPLETED
    return view if is_done else None


def _same(view: TaskView, said: Delivery) -> TaskView:
    if view.unit.result_sha256 != _hex(said.sha256):
        task_assignments.assert_open(view)
    return view


def _names(url: str, upload_key: str) -> bool:
    try:
        return urlsplit(url).path.endswith(f"/{upload_key}")
    except ValueError:
        return False


def _hex(sha256: str) -> str:
    """However a hash is written: `sha256:` before it, capitals, blanks around it."""
    return sha256.strip().lower().removeprefix("sha256:")


def _refusal(task_id: uuid.UUID, message: str, **facts: str) -> InvalidInput:
    return InvalidInput(message, code="VERIFICATION_FAILED", details={"task_id": str(task_id), **facts})
