"""RNP-019: a job's events, live, and from where a client was cut off."""

import socket as sockets
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from flask import Flask, Response, current_app, request
from flask_smorest import Blueprint

from app.adapters.open_streams import OpenStreams
from app.api import identifiers, security
from app.api.context import hub, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.rnp019 import event_feed, event_words
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.event_feed import Feed, Follower
from app.api.rnp019.schemas.events import EventsQuerySchema
from app.core import render_frames
from app.db import Session
from app.errors import Conflict, InvalidInput, RateLimited, Unavailable
from app.wiring import Hub

SCOPE = "jobs:read"
NUMBER_LIMIT_CHARS = 15
KEPT_SECONDS = 90  # a place that is not taken again: several heartbeats, and what a client may take to read
SEND_SECONDS = 30  # who reads nothing for so long is gone
RETRY_SECONDS = 5
SEATS = "lightyard_event_streams"
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string"},
    "description": "the id of the last event that was seen: the stream goes on after it, and misses nothing",
}
blueprint: Blueprint = Blueprint("rnp019_events", __name__, url_prefix="/rnp/v1/jobs/<job_id>", description="Events of jobs")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


class Seats:
    """Who has a stream open in this process, and how many each account has over all of them."""

    def __init__(self, everywhere: OpenStreams, per_account: int, per_process: int) -> None:
        self._everywhere, self._per_account, self._per_process = everywhere, per_account, per_process
        self._taken: set[str] = set()

    def take(self, account_id: uuid.UUID) -> str:
        """A place's name; RateLimited or Unavailable where there is none."""
        name = uuid.uuid4().hex
        if len(self._taken) >= self._per_process:
            message = "too many streams are open here; try again, or ask GET /rnp/v1/jobs/{id} now and then"
            raise Unavailable(message, code="TOO_MANY_STREAMS", details={"retry_after": RETRY_SECONDS})
        if not self._everywhere.take(account_id, name, self._per_account):
            message = f"{self._per_account} streams of yours are open already; close one first"
            raise RateLimited(message, code="TOO_MANY_STREAMS", details={"retry_after": RETRY_SECONDS})
        self._taken.add(name)
        return name

    def __len__(self) -> int:
        return len(self._taken)

    def stay(self, account_id: uuid.UUID, name: str) -> None:
        self._everywhere.take(account_id, name, self._per_account)

    def leave(self, account_id: uuid.UUID, name: str) -> None:
        self._taken.discard(name)
        self._everywhere.leave(account_id, name)


@blueprint.get("/events")
@blueprint.doc(parameters=[LAST_EVENT_ID], **SIGNED_IN)
@blueprint.arguments(EventsQuerySchema, location="query")
@blueprint.response(200, {"type": "string"}, content_type=event_words.MEDIA_TYPE)
@blueprint.alt_response(204, description="all was told, and nothing more will come")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def events(query: dict[str, Any], job_id: str) -> Response:
    """What becomes of a job, as server-sent events: all from the order on, or after `Last-Event-ID`, then each as it comes.

    `job` tells the whole (status, reason, limit, current cost), `frame` one frame (status, seconds, cost, attempts); ids have no
    gaps. `end` is the last: connecting again then answers 204. `skipped` says how many were deleted, long after a job's end. A
    comment comes every 15 s; after an hour the stream ends, and goes on by `Last-Event-ID`.
    """
    after = _after(query)
    with unit_of_work() as session:
        caller = security.caller(session, SCOPE)
        ordered = render_frames.find(session, caller.account_id, identifiers.read(job_id, "job_id"))
        if ordered.order is None:
            message = (
                f"events are told of jobs that were ordered here; follow this one by {ordered.job.dialect}'s API, or ask "
                f"GET /rnp/v1/jobs/{ordered.job.id} now and then"
            )
            raise Conflict(message, code="OTHER_DIALECT")
        if event_feed.is_told(session, ordered, after):
            return Response(status=204)
    socket = request.environ.get("gunicorn.socket")
    if socket is not None:
        socket.settimeout(SEND_SECONDS)
    seats = _seats()
    place = seats.take(caller.account_id)
    stay = partial(seats.stay, caller.account_id, place)
    follower = Follower(caller.account_id, ordered.job.id, _renewal(), stay, partial(_has_hung_up, socket))
    response = Response(Feed(hub(), follower, after).lines(), mimetype=event_words.MEDIA_TYPE)
    response.call_on_close(lambda: seats.leave(caller.account_id, place))
    response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    return response


def _after(query: dict[str, Any]) -> int:
    """The number to go on from; 0 for whoever has seen none."""
    text = (request.headers.get("Last-Event-ID") or query["after"] or "0").strip()
    if not text.isascii() or not text.isdigit() or len(text) > NUMBER_LIMIT_CHARS:
        raise InvalidInput("Last-Event-ID must be the id of an event of this stream, a whole number; leave it out to begin anew")
    return int(text)


def install(app: Flask, parts: Hub) -> None:
    """Count this process's streams from here on."""
    settings = parts.settings
    everywhere = OpenStreams(parts.cache, KEPT_SECONDS)
    app.extensions[SEATS] = Seats(everywhere, settings.event_streams_per_account, settings.event_streams_per_process)


def _seats() -> Seats:
    return cast(Seats, current_app.extensions[SEATS])


def _has_hung_up(socket: Any) -> bool:
    """Whether a client's end is closed, as far as its socket says; nobody else tells before something is sent to it.

    It is asked without waiting, and not by select(), which knows no socket beyond a process's first 1024 files.
    """
    if type(socket) is not sockets.socket:  # under TLS nobody can look without taking
        return False
    try:
        socket.settimeout(0)
        try:
            return bool(socket.recv(1, sockets.MSG_PEEK) == b"")
        except BlockingIOError:
            return False
        finally:
            socket.settimeout(SEND_SECONDS)
    except OSError:
        return True


def _renewal() -> Callable[[Session], None]:
    """How to ask, while a stream is open, whether its credential still holds. A wallet's signature was for the request."""
    app, token = current_app._get_current_object(), str(security.bearer())  # type: ignore[attr-defined]

    def renew(session: Session) -> None:
        with app.app_context():
            security.identify(session, token, SCOPE, is_wallet_signed=True)

    return renew
