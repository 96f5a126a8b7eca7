"""What one client is told of one job: what came since its number, then each event as it comes, until nothing more can come."""

import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import structlog

from app.api.rnp019 import event_words, job_words
from app.core import job_events, jobs, render_frames
from app.core.render_frames import Ordered
from app.db import Session
from app.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from app.values.states import JobState, PaymentState, UnitState
from app.wiring import Hub

log = structlog.get_logger()
PACE_SECONDS = 0.2  # hints that come close together are one look
PEEK_SECONDS = 1.0  # how soon it is seen that a client has gone without a word, and its place is free


@dataclass(frozen=True, slots=True)
class Follower:
    """Whose stream it is, and how to ask again: `renew` whether the credential still holds (Unauthenticated, Forbidden where it
    does not), `stay` to keep its place among the open streams, and `is_gone` whether the client has hung up."""

    account_id: uuid.UUID
    job_id: uuid.UUID
    renew: Callable[[Session], None]
    stay: Callable[[], None]
    is_gone: Callable[[], bool]


class Feed:
    """A stream from the event after `after` on. It reads a page at a time, so that a slow client costs no memory: what it has not
    read waits in the database."""

    def __init__(self, hub: Hub, follower: Follower, after: int) -> None:
        self._hub, self._follower, self._after = hub, follower, after
        self._has_more = False
        self._stays_until = 0.0

    def lines(self) -> Iterator[str]:
        """Pieces of the stream. It ends with the job, with the credential, or after EVENT_STREAM_SECONDS."""
        hint, news = threading.Event(), self._hub.task_news
        followed = (self._follower.job_id, self._follower.account_id)  # of the account: a credential of its that has ended
        for followed_id in followed:
            news.follow(followed_id, hint.set)
        try:
            yield event_words.RETRY
            yield from self._tell(hint)
        finally:
            for followed_id in followed:
                news.leave(followed_id, hint.set)

    def _tell(self, hint: threading.Event) -> Iterator[str]:
        ends_at = time.monotonic() + self._hub.settings.event_stream_seconds
        while True:
            is_due = self._stay()
            hint.clear()  # before the look: what comes during it is looked at again
            try:
                status, text = self._look()
            except (Unauthenticated, Forbidden, NotFound) as error:
                yield event_words.written("refused", {"code": error.code, "message": error.message})
                return
            except Unavailable as error:  # the client comes again, and goes on where it stood
                log.warning("events.cut", job_id=str(self._follower.job_id), error=error.message)
                return
            if text or is_due:  # a hint need be no news, and many of them are no heartbeat
                yield text or event_words.HEARTBEAT
            if self._has_more:
                continue
            if status is not None:
                yield event_words.written("end", {"status": status})
                return
            if not (yield from self._wait(hint, ends_at)):
                return
            time.sleep(PACE_SECONDS)

    def _wait(self, hint: threading.Event, ends_at: float) -> Generator[str, None, bool]:
        """Heartbeats until there may be something to tell. False where the stream is over, or its client gone."""
        while not hint.wait(PEEK_SECONDS):
            if self._stay():
                yield event_words.HEARTBEAT
            if self._follower.is_gone() or time.monotonic() >= ends_at:
                return False
        return time.monotonic() < ends_at and not self._follower.is_gone()

    def _stay(self) -> bool:
        """Keep the place, once a heartbeat."""
        now = time.monotonic()
        if now < self._stays_until:
            return False
        self._follower.stay()
        self._stays_until = now + self._hub.settings.event_heartbeat_seconds
        return True

    def _look(self) -> tuple[str | None, str]:
        """The job's last word, once there is one, and what is new. The job comes first: where it is over, all was written."""
        with self._hub.database.unit_of_work() as session:
            self._follower.renew(session)
            ordered = render_frames.find(session, self._follower.account_id, self._follower.job_id)
            page = job_events.read(session, self._follower.job_id, self._after)
        self._after, self._has_more = page.last, page.has_more
        frames_total = len(ordered.job.settings.get("frame_list", ())) or ordered.job.units_total
        return (_word(ordered) if _is_over(ordered) else None), event_words.page(page, frames_total)


def is_told(session: Session, ordered: Ordered, after: int) -> bool:
    """Whether whoever has seen up to `after` has seen all that will ever be told."""
    page = job_events.read(session, ordered.job.id, after, 1)
    return _is_over(ordered) and not page.events and not page.skipped


def _is_over(ordered: Ordered) -> bool:
    """Whether nothing can come any more: one that is paid when it is done is over when it is paid."""
    return jobs.is_over(ordered.job) and ordered.order is not None and ordered.order.settled_at is not None


def _word(ordered: Ordered) -> str:
    job = ordered.job
    return job_words.word(PaymentState(job.payment_state), UnitState.RENDERING, JobState(job.state))
