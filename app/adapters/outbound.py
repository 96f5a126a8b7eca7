"""The only HTTP client the hub uses for addresses given by its users.

Each request looks the name up once, refuses private addresses, connects to the checked ones, follows no
redirect, and is bounded
in time and size. It is never sent while a database transaction is open.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import httpcore
import httpx

from app import trail
from app.adapters.addresses import CheckedUrl, Resolver, resolve, system_resolver, validate_public_url
from app.adapters.pinned import PinnedTransport
from app.db import assert_no_unit_of_work
from app.errors import Unavailable

__all__ = ["Answer", "OutboundClient", "Upload", "validate_public_url"]

Upload = tuple[str, IO[bytes] | bytes, str]
"""File name, content and content type of one part of a form."""

_AGENT = "lightyard-hub"
_FAILURES = (
    httpx.HTTPError,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,
)
_TIMEOUTS = (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said; header names in lower case. Statuses of 400 and more are answers too,
    not errors."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; Unavailable with ENDPOINT_BAD_ANSWER if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Unavailable("The endpoint's answer is not JSON.", code="ENDPOINT_BAD_ANSWER") from error


class OutboundClient:
    """Sends to users' own servers. `timeout_seconds` bounds a whole exchange unless a call names its own."""

    def __init__(
        self,
        allow_private: bool,
        timeout_seconds: float = 10,
        max_response_bytes: int = 1_048_576,
        *,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
        before_send: Callable[[], None] = assert_no_unit_of_work,
    ) -> None:
        self._allow_private = allow_private
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_response_bytes
        self._resolver = resolver
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._before_send = before_send

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        json_body: Any = None,
        fields: Mapping[str, str] | None = None,
        files: Mapping[str, Upload] | None = None,
    ) -> Answer:
        """One exchange. InvalidInput URL_REFUSED; Unavailable ENDPOINT_UNKNOWN_HOST,
        ENDPOINT_UNREACHABLE, ENDPOINT_TIMEOUT,
        ENDPOINT_REDIRECTED, ENDPOINT_ANSWER_TOO_LARGE or ENDPOINT_BAD_ANSWER."""
        self._before_send()
        deadline = time.monotonic() + (timeout_seconds or self._timeout_seconds)
        checked = resolve(url, self._allow_private, self._resolver)
        span = trail.span(f"{method} user's endpoint", "client", url=url)
        with span, _named_failures(checked.host), self._client(checked, deadline) as client:
            with client.stream(
                method, checked.url, headers=headers, json=json_body, data=fields, files=files
            ) as response:
                return self._read(response)

    def get_json(self, url: str, *, timeout_seconds: float | None = None) -> Any:
        """The JSON at an address; an answer other than 200 is Unavailable ENDPOINT_BAD_ANSWER."""
        answer = self.request(
            "GET", url, timeout_seconds=timeout_seconds, headers={"Accept": "application/json"}
        )
        if answer.status != 200:
            raise Unavailable(
                f"The endpoint answered with status {answer.status}.", code="ENDPOINT_BAD_ANSWER"
            )
        return answer.json()

    def post_multipart(
        self,
        url: str,
        files: Mapping[str, Upload],
        fields: Mapping[str, str],
        *,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Send a form with files, which are streamed from disk."""
        return self.request("POST", url, files=files, fields=fields, timeout_seconds=timeout_seconds)

    def _client(self, checked: CheckedUrl, deadline: float) -> httpx.Client:
        return httpx.Client(
            transport=PinnedTransport(checked.addresses, deadline, self._ssl_context),
            trust_env=False,
            follow_redirects=False,
            timeout=max(0.001, deadline - time.monotonic()),
            headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"},
        )

    def _read(self, response: httpx.Response) -> Answer:
        """The body as it came: packed answers were not asked for, and could unpack to anything."""
        if 300 <= response.status_code < 400:
            raise Unavailable(
                "The endpoint answers with a redirect, which is not followed. Register its final address.",
                code="ENDPOINT_REDIRECTED",
            )
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._max_response_bytes:
                raise Unavailable(
                    f"The endpoint's answer is larger than {self._max_response_bytes} bytes.",
                    code="ENDPOINT_ANSWER_TOO_LARGE",
                )
        return Answer(response.status_code, dict(response.headers), bytes(body))


@contextmanager
def _named_failures(host: str) -> Iterator[None]:
    """Turn the library's many errors into two of ours, without repeating addresses to the user."""
    try:
        yield
    except _TIMEOUTS as error:
        raise Unavailable(
            f"The endpoint at {host} did not answer in time.", code="ENDPOINT_TIMEOUT"
        ) from error
    except _FAILURES as error:
        raise Unavailable(
            f"The endpoint at {host} cannot be reached ({type(error).__name__}).", code="ENDPOINT_UNREACHABLE"
        ) from error
