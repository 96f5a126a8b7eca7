"""What nodes on the relay say of their work, given to the very verbs that /node/v1 uses.

Whatever a socket that is not the node's newest says is refused before anything is looked up.
"""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.core import expected_results, jobs, outcomes, relays
from app.core.relays import HeldAttempt
from app.core.task_ends import exit_of
from app.errors import Conflict, InvalidInput, NotFound
from app.flows import results
from app.relay import reading
from app.values import attempt_steps

if TYPE_CHECKING:
    from app.relay.node_session import NodeSession

RUNNING, FAILED, COMPLETED = ("running", "started", "accepted", "rendering"), ("failed", "error"), ("completed", "success")
RELEASED = ("released",)
STATUSES = "running, failed or released"


def acknowledge(session: "NodeSession", message: Mapping[str, Any]) -> None:
    """The node has the unit: it keeps it over a broken connection, as long as its lease lasts."""
    _renew(session, message, 0.0)


def status(session: "NodeSession", message: Mapping[str, Any]) -> None:
    """job_status: progress renews the lease, a failure is reported, a unit is given back."""
    word = message.get("status")
    if word in RUNNING:
        _renew(session, message, reading.read_share(message, "progress") or 0.0)
    elif word in FAILED:
        _fail(session, message)
    elif word in RELEASED:
        _release(session, message)
    elif word in COMPLETED:
        raise InvalidInput("a completed job is told by job_result, with its result_ref")
    else:
        raise InvalidInput(f"status must be {STATUSES}")


def result(session: "NodeSession", message: Mapping[str, Any]) -> None:
    """job_result: the bytes are checked before they count; the same result again is answered the same."""
    word = message.get("status")
    if word in FAILED:
        _fail(session, message)
        return
    if word not in COMPLETED:
        raise InvalidInput("status must be completed or failed")
    hub = session.parts.hub
    with hub.database.read_only() as database:
        attempt = _named(session, _attempts(session, database, message), message, is_result=True)
        if attempt.state != "completed":
            _assert_live(attempt)
        wanted = expected_results.find(database, session.node_id, {attempt.id: attempt.fence})
    verdict = _judge(session, attempt, wanted, message)
    if verdict.code is None:
        session.done_with(attempt.id)
        _tell(session, message, attempt, "completed")
        return
    if not verdict.retryable:
        session.done_with(attempt.id)
    facts = {"code": verdict.code, "detail": verdict.message, "retryable": verdict.retryable, "attempt": str(attempt.id)}
    session.tell(reading.answer(message, "error", **facts))


def _judge(
    session: "NodeSession", attempt: HeldAttempt, wanted: Mapping[uuid.UUID, Any], message: Mapping[str, Any]
) -> results.Judged:
    hub = session.parts.hub
    seconds = float(reading.read_number(message, "seconds", 10**6) or 0.0)
    if attempt.kind == "inspection":
        report = message.get("report")
        if not isinstance(report, dict):
            raise InvalidInput("an inspection's result is a report: an object")
        item = {"attempt_id": attempt.id, "fence": attempt.fence, "seconds": seconds, "report": report}
        return results.accept_reports(hub.database, [item])[0]
    sha256, size_bytes = reading.read_text(message, "sha256"), reading.read_number(message, "size_bytes")
    if sha256 is None or size_bytes is None:  # the seed's message has neither: what is stored is what it means
        sha256, size_bytes = results.stored(hub.store, attempt.upload_key, hub.result_rules) or (sha256 or "", size_bytes or 0)
    content_type = reading.read_text(message, "content_type") or ""
    steps = attempt_steps.read(message.get("steps"))
    announced = results.Announced(attempt.id, attempt.fence, sha256, int(size_bytes), seconds, content_type, steps)
    return results.accept(hub.database, hub.store, [announced], wanted, hub.result_rules)[0]


def _renew(session: "NodeSession", message: Mapping[str, Any], progress: float) -> None:
    seconds = float(reading.read_number(message, "seconds", 10**6) or 0.0)
    with session.parts.hub.database.unit_of_work() as database:
        attempt = _named(session, _attempts(session, database, message), message)
        _assert_live(attempt)
        lease_seconds = session.parts.hub.settings.lease_seconds
        report = (attempt.id, attempt.fence, progress)
        live = jobs.renew(database, session.node_id, [report], lease_seconds, {attempt.id: seconds})
    if attempt.id not in live:
        session.done_with(attempt.id)
        raise _not_live()
    session.acknowledge(attempt)
    if "request" in message:
        _tell(session, message, attempt, "running")


def _fail(session: "NodeSession", message: Mapping[str, Any]) -> None:
    settings = session.parts.hub.settings
    code = reading.read_text(message, "code", "error_code") or "NODE_FAILED"
    said = reading.read_text(message, "error_message", "error", "message") or "the node reported a failure"
    status, seconds = reading.read_whole(message, "exit_code", 2**31 - 1, 0), reading.read_number(message, "seconds", 10**6)
    exited = exit_of(status, float(seconds or 0.0))
    with session.parts.hub.database.unit_of_work() as database:
        attempt = _named(session, _attempts(session, database, message), message)
        limits = (settings.max_failures, settings.max_attempts)
        state = outcomes.fail(database, attempt.id, attempt.fence, code, said, limits, exited)
    session.done_with(attempt.id)
    if state is None:
        raise _not_live()
    _tell(session, message, attempt, "failed")


def _release(session: "NodeSession", message: Mapping[str, Any]) -> None:
    with session.parts.hub.database.unit_of_work() as database:
        attempt = _named(session, _attempts(session, database, message), message)
        outcomes.release(database, attempt.id, attempt.fence)
    session.drop(attempt.id)
    session.parts.board.place(session)
    _tell(session, message, attempt, "released")


def _attempts(session: "NodeSession", database: Any, message: Mapping[str, Any]) -> list[HeldAttempt]:
    """This node's attempts at the job that a message names; only the newest socket is heard."""
    relays.calling(database, session.token_id, session.epoch)
    job_id = reading.read_id(message, "job_id")
    if job_id is None:
        raise InvalidInput("job_id is missing")
    return relays.attempts_of(database, session.node_id, job_id)


def _named(
    session: "NodeSession", found: list[HeldAttempt], message: Mapping[str, Any], is_result: bool = False
) -> HeldAttempt:
    """The attempt that a message means. The seed's messages name only the job: then it is the one that lives."""
    attempt_id, ref = reading.read_id(message, "attempt"), message.get("result_ref")
    if attempt_id is not None:
        found = [item for item in found if item.id == attempt_id]
    if not found:
        raise NotFound("this node was not handed that job", code="ATTEMPT_UNKNOWN")
    if is_result and found[0].kind != "inspection":
        return _of_ref(found, ref)
    live = [item for item in found if item.is_live]
    if len(live) > 1:
        raise InvalidInput("this node has several units of that job; name the attempt of the job_dispatch")
    return live[0] if live else found[0]


def _of_ref(found: list[HeldAttempt], ref: object) -> HeldAttempt:
    for item in found:
        if ref == reading.result_ref(item.upload_key):
            return item
    if not any(item.is_live for item in found):
        raise _not_live()
    message = "give back the result_ref of the job_dispatch, after the upload to its upload_url"
    raise InvalidInput(message, code="RESULT_REF_WRONG")


def _assert_live(attempt: HeldAttempt) -> None:
    if not attempt.is_live:
        raise _not_live()


def _not_live() -> Conflict:
    return Conflict("this attempt is not live any more; its result is not paid", code="ATTEMPT_NOT_LIVE")


def _tell(session: "NodeSession", message: Mapping[str, Any], attempt: HeldAttempt, word: str) -> None:
    facts = {"job_id": str(attempt.job_id), "attempt": str(attempt.id), "status": word, "accepted": True}
    session.tell(reading.answer(message, "job_ack", **facts))
