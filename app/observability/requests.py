"""One log line a request, an id that everything logged on its way carries, and a span where somebody traces.

No query string, header or body is logged: tokens travel there.
"""

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from app import trail
from app.observability.scrubbing import scrub, shorten

log = structlog.get_logger()
HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,40}")  # a key or signature of 32 bytes is longer, however it is written
# Polled by machines many times a second; their figures are metrics.
QUIET = frozenset({"/metrics", "/health", "/node/v1/heartbeat", "/node/v1/progress", "/node/v1/claims"})
_NAMED = {"job_id": "job_id", "payout_id": "payout_id", "provider_id": "provider", "worker_id": "worker_id"}
_ID = re.compile(r"\d{1,18}|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def install(app: Flask) -> None:
    """Log every request when it is answered; a proxy's own request id is kept if it is a plain one."""

    @app.before_request
    def begin() -> None:
        g.request_id = _id_of_request()
        g.began = time.perf_counter()
        trail.begin(request_id=g.request_id)
        if request.view_args:
            _note_ids(request.view_args)
        if trail.tracer() is not None:
            _open_span()

    @app.after_request
    def end(response: Response) -> Response:
        request_id = g.get("request_id")
        if request_id is None:
            return response
        response.headers[HEADER] = request_id
        if request.path not in QUIET or response.status_code >= 400:
            milliseconds = round((time.perf_counter() - g.began) * 1000, 1)
            method = request.environ["REQUEST_METHOD"]  # as it was sent: metrics know only the usual ones
            path, status = shorten(request.path), response.status_code
            log.info("request", method=method, path=path, status=status, ms=milliseconds, **trail.noted())
        if "span" in g:
            trail.note(**_outcome(response.status_code))
        return response

    @app.teardown_request
    def close(error: BaseException | None) -> None:
        span = g.pop("span", None)
        if span is not None:
            span.__exit__(None if error is None else type(error), error, None)


def _outcome(status: int) -> dict[str, int | str]:
    """As OpenTelemetry names it: what a caller did wrong is no error of ours."""
    return {"http.response.status_code": status, **({"error.type": str(status)} if status >= 500 else {})}


def _id_of_request() -> str:
    given = request.headers.get(HEADER)
    if given and _GIVEN.fullmatch(given) and scrub(given) == given:
        return given
    return uuid.uuid4().hex


def _note_ids(found: dict[str, object]) -> None:
    """What the path names, where it is an id: anything else may be anything."""
    for name, known_as in _NAMED.items():
        if name in found and _ID.fullmatch(str(found[name])):
            trail.note(**{known_as: str(found[name])})


def _open_span() -> None:
    """What machines poll is traced only where the caller traces; a socket, which may be open for days, never."""
    parent = request.headers.get(trail.TRACE)
    if (request.path in QUIET and not parent) or "Upgrade" in request.headers:
        return
    route = request.url_rule.rule if request.url_rule else "(no route)"
    facts = {"http.request.method": request.method, "http.route": route, "request_id": g.request_id}
    g.span = trail.span(f"{request.method} {route}", "server", parent, **facts)
    g.span.__enter__()
    for name, value in trail.noted().items():
        trail.note(**{name: value})
