"""One log line a request, and an id that everything logged on its way carries.

No query string and no header is logged: tokens travel there.
"""

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger()
HEADER = "X-Request-Id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Polled by machines many times a second; their figures are metrics.
QUIET = frozenset({"/metrics", "/health", "/node/v1/heartbeat", "/node/v1/progress", "/node/v1/claims"})


def install(app: Flask) -> None:
    """Log every request when it is answered; a proxy's own request id is kept if it is a plain one."""

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
        if request.path not in QUIET or response.status_code >= 400:
            milliseconds = round((time.perf_counter() - g.began) * 1000, 1)
            method = request.environ["REQUEST_METHOD"]  # as it was sent: metrics know only the usual ones
            log.info("request", method=method, path=request.path, status=response.status_code, ms=milliseconds)
        return response
