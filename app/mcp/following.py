"""A job, looked at until there is something to tell of it: nothing is changed or spent, and a hub that is away is waited for."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from app.errors import LightyardError
from app.mcp.hub import TRYING_SECONDS, Hub, HubRefused, Unclear
from app.mcp.listener import Listener

OVER = ("completed", "failed", "cancelled")
PAUSED = "paused"
SOONEST_SECONDS, SLOWEST_SECONDS = 0.5, 2.0
LEAST_SECONDS, MOST_SECONDS = 2.0, 5.0  # for one look: a listener who goes is noticed after it
LIMITED = ("RATE_LIMITED", "HTTP_429")
Job = dict[str, Any]
AGAIN = "it goes on by itself: call wait to hear of its end"
ADVICE = {
    "completed": "it is over: call download",
    "failed": "it is over: the reason says why, finished frames can be downloaded",
    "cancelled": "it is over: finished frames can be downloaded",
    "pending_payment": "it begins once it is paid: it was ordered elsewhere, and this server pays from the balance alone",
    PAUSED: "call resume to go on, or cancel",
}
OVER_LIMIT = "MAX_AMOUNT_REACHED"


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as it was seen last, and what is to be done. With `is_away` the hub has not answered since."""

    job: Job
    note: str
    is_away: bool = False


def follow(hub: Hub, job_id: uuid.UUID, seconds: float, is_news: Callable[[Job, Job], bool], listener: Listener) -> Seen:
    """The job once it `is_news` (as it was first, as it is now), or when the time is up.

    It is asked for now and then, not followed by the hub's stream of events: there is nothing that could be cut, and an account
    has only so many streams. Raises what the hub says no with; that it is away only where nothing is known of the job until then.
    """
    until, pause = time.monotonic() + seconds, SOONEST_SECONDS
    first: Job | None = None
    last: Job | None = None
    while True:
        found = _look(hub, job_id, until - time.monotonic() if seconds else None)
        if not isinstance(found, LightyardError):
            is_same = last is not None and gist(found) == gist(last)
            pause = min(pause * 1.5, SLOWEST_SECONDS) if is_same else SOONEST_SECONDS
            first, last = first or found, found
            listener.hear(*how_far(found))
            if is_news(first, found):
                return Seen(found, advice(found))
        if (left := until - time.monotonic()) <= 0:
            return _at_last(last, found)
        listener.assert_there()
        time.sleep(min(pause, left))


def _look(hub: Hub, job_id: uuid.UUID, left: float | None) -> Job | LightyardError:
    """The job, or why it could not be seen just now."""
    seconds = TRYING_SECONDS if left is None else min(MOST_SECONDS, max(left, LEAST_SECONDS))
    try:
        return hub.ask("GET", f"/jobs/{job_id}", seconds=seconds)
    except Unclear as unclear:
        return unclear
    except HubRefused as refusal:
        if refusal.code not in LIMITED:
            raise
        return refusal


def _at_last(last: Job | None, found: Job | LightyardError) -> Seen:
    if not isinstance(found, LightyardError):
        return Seen(found, advice(found))
    if last is None:
        raise found
    return Seen(last, f"this is how it was: {found.message}. What is under way goes on without it: call wait again", is_away=True)


def gist(job: Job) -> tuple[Any, ...]:
    return job["status"], job["frames_completed"], job["current_cost"]


def advice(job: Job) -> str:
    """What can be done about a job as it stands."""
    if job["status"] == PAUSED and (job["reason"] or {}).get("code") == OVER_LIMIT:
        return f"it has reached its max_amount: {raising(job)}"
    return ADVICE.get(job["status"], AGAIN)


def raising(job: Job) -> str:
    """What helps a job whose max_amount covers no further frame."""
    most = Decimal(job["estimated_cost"])
    enough = min(most, Decimal(job["current_cost"]) + most / job["frames_total"])
    enough = enough.quantize(most, ROUND_UP)
    return f"call resume with a max_amount of {enough} or more (a frame may cost {most / job['frames_total']:.8f}), or cancel"


def how_far(job: Job) -> tuple[float, float, str]:
    """Finished frames, all frames, and a line that says so; of a single frame, how much of its tiles."""
    done, total = job["frames_completed"], job["frames_total"]
    cost = f"{Decimal(job['current_cost']).normalize():f}"
    return job["progress"] if total == 1 else done, total, f"{done} of {total} frames, {cost} {job['asset']}, {job['status']}"
