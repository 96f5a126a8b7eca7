"""One log line a request, and an id that everything logged on its way carries.

No query string and no header is logged: tokens travel there.
"""

import re
import time
import uuid
from collections.abc import Iterable
from typing import Any

import structlog
from flask import Flask, Response, g, request

from app.observability import metrics

log = structlog.get_logger()
HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Polled by machines many times a second; their figures are metrics.
QUIET = frozenset({"/metrics", "/health", "/node/v1/heartbeat", "/node/v1/progress", "/node/v1/claims"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN = "UNKNOWN"


class KnownMethods:
    """Whatever word a stranger sends as a method reads UNKNOWN: it is a label of figures that are kept for ever."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in METHODS:
            environ["REQUEST_METHOD"] = UNKNOWN
        return self._application(environ, start_response)  # type: ignore[no-any-return]


def install(app: Flask) -> None:
    """Log and count every request when it is answered; a proxy's own request id is kept if it is a plain one."""
    app.wsgi_app = KnownMethods(app.wsgi_app)  # type: ignore[method-assign]

    @app.before_request
    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        g.began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        request_id = g.get("request_id")
        if request_id is None:
            return response
        response.headers[HEADER] = request_id
        endpoint = request.url_rule.rule if request.url_rule else "none"
        metrics.note_request(request.method, endpoint, response.status_code, time.perf_counter() - g.began)
        if request.path not in QUIET or response.status_code >= 400:
            milliseconds = round((time.perf_counter() - g.began) * 1000, 1)
            log.info("request", method=request.method, path=request.path, status=response.status_code, ms=milliseconds)
        return response
