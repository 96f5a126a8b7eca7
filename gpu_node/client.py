"""The hub over HTTP: retries with jittered back-off while it is away, joins again when it no longer knows us.

One rule: a call that the hub refused is never retried, a call that never reached it (or met a 5xx or 429) is, until the
patience given for it is used up or the node stops.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from gpu_node import trail
from gpu_node.failures import NodeError

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 15.0
CHUNK_BYTES = 1 << 20
API = "/node/v1"
UNAUTHORIZED = 401
TOO_MANY = 429


class HubRefused(NodeError):
    """The hub answered, and the answer is no. `code` and `details` as in PROTOCOL.md."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.details = status, code, message, details


class HubAway(NodeError):
    """The hub did not answer for as long as this call could wait, or the node stops."""


class HubClient:
    """Thread-safe. `join` is called to get a token, at first and after every 401."""

    def __init__(self, hub_url: str, stopping: threading.Event, transport: httpx.BaseTransport | None = None) -> None:
        self._hub_url = hub_url
        self._stopping = stopping
        timeout = httpx.Timeout(30.0, connect=5.0)
        self._http = httpx.Client(base_url=hub_url, timeout=timeout, transport=transport)
        self._files = httpx.Client(timeout=httpx.Timeout(120.0, connect=5.0), transport=transport)
        self._lock = threading.Lock()
        self._token: str | None = None
        self.join: Callable[[], str] | None = None

    def close(self) -> None:
        self._http.close()
        self._files.close()

    def drain(self) -> None:
        """The node takes no more work. Nothing to do for a client that asks for it."""

    def call(self, path: str, body: dict[str, Any], patience_seconds: float) -> dict[str, Any]:
        """POST with the node's token. Raises HubRefused or HubAway."""
        for _ in range(3):
            token = self._current_token()
            try:
                return self.post(path, body, {"Authorization": f"Bearer {token}"}, patience_seconds)
            except HubRefused as refused:
                if refused.status != UNAUTHORIZED:
                    raise
                last = refused
                self._forget_token(token)
        raise last

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str], patience_seconds: float) -> dict[str, Any]:
        """POST as given. Raises HubRefused or HubAway."""

        def ask() -> httpx.Response:
            response = self._http.post(API + path, json=body, headers={**trail.headers(), **headers})
            if response.is_success:
                _json_object(response)
            return response

        response = self._send(ask, patience_seconds, path)
        if response.is_success:
            return _json_object(response)
        raise _refusal(response)

    def upload(self, upload: dict[str, Any], path: Path, patience_seconds: float) -> None:
        """Sends a file to a signed URL. Raises HubRefused or HubAway."""
        url = urljoin(self._hub_url + "/", upload["url"])
        headers = {**self._own_headers(url), "Content-Length": str(path.stat().st_size), **(upload.get("headers") or {})}

        def put() -> httpx.Response:
            with path.open("rb") as file:
                return self._files.request(upload.get("method") or "PUT", url, headers=headers, content=_chunks(file))

        response = self._send(put, patience_seconds, "upload")
        if not response.is_success:
            raise _refusal(response)

    def download(self, url: str, target: Path, max_bytes: int, patience_seconds: float) -> None:
        """Fetches a signed URL into `target`, never more than `max_bytes`. Raises HubRefused, HubAway or OSError."""

        def get() -> httpx.Response:
            address = urljoin(self._hub_url + "/", url)
            with self._files.stream("GET", address, headers=self._own_headers(address)) as response:
                if not response.is_success:
                    response.read()
                    return response
                _write_limited(response, target, max_bytes)
                return response

        response = self._send(get, patience_seconds, "download")
        if not response.is_success:
            raise _refusal(response)

    def _own_headers(self, url: str) -> dict[str, str]:
        """Ids are for the hub: another's file store is told none."""
        return dict(trail.headers()) if url.startswith(self._hub_url + "/") else {}

    def _send(self, send: Callable[[], httpx.Response], patience_seconds: float, what: str) -> httpx.Response:
        """Sends until there is an answer other than 'not now'."""
        deadline = time.monotonic() + patience_seconds
        delay = FIRST_DELAY_SECONDS
        while True:
            trouble: str
            wait = delay * random.uniform(0.5, 1.5)
            try:
                response = send()
                if response.status_code < 500 and response.status_code != TOO_MANY:
                    return response
                trouble = f"status {response.status_code}"
                wait = max(wait, _retry_after(response))
            except httpx.RequestError as error:
                trouble = f"{type(error).__name__}: {error}"
            if time.monotonic() + wait > deadline:
                raise HubAway(f"{what}: {trouble}")
            log.warning("the hub did not answer, trying again", extra={"what": what, "trouble": trouble})
            if self._stopping.wait(wait):
                raise HubAway(f"{what}: the node stops; {trouble}")
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    def adopt(self, token: str) -> None:
        """A newer one than the client has."""
        with self._lock:
            self._token = token

    def _current_token(self) -> str:
        with self._lock:
            if self._token is None:
                if self.join is None:
                    raise HubAway("the node has not joined a hub")
                self._token = self.join()
            return self._token

    def _forget_token(self, token: str) -> None:
        """Only the token that was refused: another thread may have joined again in the meantime."""
        with self._lock:
            if self._token == token:
                self._token = None


def _json_object(response: httpx.Response) -> dict[str, Any]:
    """The hub's answer. Something in between that answers in its place, as a proxy's page does, is a hub that is away."""
    try:
        return dict(response.json())
    except (ValueError, TypeError):
        raise httpx.RemoteProtocolError(f"status {response.status_code} without the hub's JSON") from None


def _write_limited(response: httpx.Response, target: Path, max_bytes: int) -> None:
    written = 0
    with target.open("wb") as file:
        for chunk in response.iter_bytes(CHUNK_BYTES):
            written += len(chunk)
            if written > max_bytes:
                raise OSError(f"the file is larger than the {max_bytes} bytes it should have")
            file.write(chunk)


def _chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isdigit() else 0.0


def _refusal(response: httpx.Response) -> HubRefused:
    try:
        error = response.json()["error"]
        return HubRefused(response.status_code, str(error["code"]), str(error["message"]), error.get("details") or {})
    except (ValueError, KeyError, TypeError):
        return HubRefused(response.status_code, f"HTTP_{response.status_code}", response.text[:300], {})
