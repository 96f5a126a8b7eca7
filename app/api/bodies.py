"""Bodies of requests: how large, how slow and how odd they may be. Refused in the dialect's envelope, before a view sees them."""

import io
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from app.api.context import FORM
from app.config import Settings
from app.greenlets import is_gevent
from app.values.json_text import check_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READ_BYTES = 65_536
SIGNED_BODIES = "/api/v1/webhooks/"  # read by their own views, once the signature over the raw bytes holds
# Files: whatever comes, it is counted and hashed as it comes.
FILES = re.compile(r"/files/|/rnp/v1/scenes/[^/]+/content\Z")


def install(app: Flask, settings: Settings, takes_forms: Callable[[str], bool]) -> None:
    """A JSON body is small and sound; a form (where `takes_forms(path)`) or an upload may be as large as a scene."""
    app.wsgi_app = Arrivals(app.wsgi_app, settings)  # type: ignore[method-assign]

    @app.before_request
    def guard() -> None:
        if FILES.match(request.path):
            return
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedMediaType("send the body as it is: Content-Encoding is not understood here")
        if request.mimetype == FORM and takes_forms(request.path):
            return
        request.max_content_length = settings.max_json_bytes + 1
        if (request.content_length or 0) > settings.max_json_bytes:
            raise RequestEntityTooLarge()
        if request.content_length is None and len(request.get_data()) > settings.max_json_bytes:
            raise RequestEntityTooLarge()  # of unknown length: what is past the limit was never read, and must not be missed
        if request.is_json and not request.path.startswith(SIGNED_BODIES):
            check_json(request.get_data())


class Arrivals:
    """WSGI middleware: a body that hardly moves is given up, and one that is no HTTP is the client's mistake, not ours."""

    def __init__(self, app: "WSGIApplication", settings: Settings) -> None:
        self._app, self._settings = app, settings

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = Arriving(environ["wsgi.input"], self._settings)
        return self._app(environ, start_response)


class Arriving(io.RawIOBase):
    """A body on its way. It has BODY_PATIENCE_SECONDS, and more for what has come, at BODY_BYTES_PER_SECOND; then 408."""

    def __init__(self, stream: Any, settings: Settings) -> None:
        self._stream, self._rate = stream, settings.body_bytes_per_second
        self._ends_at = time.monotonic() + settings.body_patience_seconds
        # What has come counts when a piece is whole: the slowest that may come has one twice within the patience.
        self._piece_bytes = max(1024, min(READ_BYTES, self._rate * settings.body_patience_seconds // 2))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """At most a piece, so that what has come is counted while the rest is on its way."""
        with self._in_time():
            try:
                data = self._stream.read(min(len(buffer), self._piece_bytes))
            except ParseException as error:
                raise BadRequest(f"the body cannot be read: {error}") from None
        buffer[: len(data)] = data
        self._ends_at += len(data) / self._rate
        return len(data)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Only gevent can end a read that waits; elsewhere nothing is served to strangers."""
        if not is_gevent():
            yield
            return
        from gevent import Timeout  # only where gevent runs the process

        left = max(self._ends_at - time.monotonic(), 0.001)
        said = "the body came too slowly: send it faster, or in smaller parts"
        with Timeout(left, RequestTimeout(said)):
            yield
