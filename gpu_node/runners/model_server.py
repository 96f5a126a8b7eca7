"""A server of models on this host, asked over HTTP: never for longer, and never for more, than a unit of work may take."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.session import Limits

LOOK_SECONDS = 0.1
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class ModelServer:
    """`base_url` is what comes before /chat/completions and the like; `model` replaces the one that a request names, where it is
    set."""

    base_url: str
    model: str | None = None
    api_key: str | None = None
    max_seconds: float = 300.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class Exchange:
    """One unit's talk with a server. All its requests together have one deadline."""

    def __init__(self, server: ModelServer, limits: Limits, transport: httpx.BaseTransport | None = None) -> None:
        self.server = server
        self.seconds = min(server.max_seconds, limits.max_seconds)
        self.max_bytes = limits.max_output_bytes
        self.deadline = time.monotonic() + self.seconds
        self.unwanted = threading.Event()
        timeout = httpx.Timeout(self.seconds, connect=min(CONNECT_SECONDS, self.seconds))
        headers = {"Accept-Encoding": "identity"}  # what is counted is what comes
        headers |= {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
        self._client = httpx.Client(timeout=timeout, transport=transport, trust_env=False, headers=headers)

    def ask(self, method: str, path: str, max_bytes: int | None = None, **request: Any) -> Answer:
        """The whole answer, whatever its status. Raises WorkFailed for one that is too large or too late, httpx's own errors for
        none at all."""
        most = self.max_bytes if max_bytes is None else max_bytes
        with self._client.stream(method, self.server.base_url.rstrip("/") + path, **request) as response:
            body = bytearray()
            for chunk in response.iter_bytes():  # as it comes: one that drips is looked at with every drop
                body += chunk
                if len(body) > most:
                    raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"the answer has more than the {most} bytes allowed")
                if time.monotonic() > self.deadline:
                    raise self.too_slow()
                if self.unwanted.is_set():
                    raise WorkStopped("the work is not wanted any more")
            return Answer(response.status_code, bytes(body))

    def pause(self, seconds: float) -> None:
        """Before the next look. Raises WorkStopped at once when the work is not wanted any more, WorkFailed at the deadline."""
        if self.unwanted.wait(seconds):
            raise WorkStopped("the work is not wanted any more")
        if time.monotonic() > self.deadline:
            raise self.too_slow()

    def too_slow(self) -> WorkFailed:
        return WorkFailed(FailureCode.TIME_LIMIT, f"the model took longer than the {self.seconds:g} s allowed")

    def close(self) -> None:
        self._client.close()


class Call(threading.Thread):
    """Work with a server in a thread of its own: what is not wanted any more is left at once, and its call ends by its own
    limit."""

    def __init__(self, exchange: Exchange, work: Callable[[Exchange], bytes]) -> None:
        super().__init__(name="inference", daemon=True)
        self._exchange, self._work = exchange, work
        self._outcome: bytes | WorkFailed = WorkFailed(FailureCode.CRASHED, "the call to the model's server broke off")

    def wait(self, stopped: Callable[[], bool]) -> bytes:
        """What came of it. Raises WorkFailed or WorkStopped."""
        self.start()
        while self.is_alive():
            self.join(LOOK_SECONDS)
            if stopped():
                self._exchange.unwanted.set()
                raise WorkStopped("the work is not wanted any more")
            if time.monotonic() > self._exchange.deadline + CONNECT_SECONDS:
                raise self._exchange.too_slow()
        if isinstance(self._outcome, WorkFailed):
            raise self._outcome
        return self._outcome

    def run(self) -> None:
        try:
            self._outcome = self._work(self._exchange)
        except WorkFailed as failed:
            self._outcome = failed
        except WorkStopped:
            pass  # whoever waited has left
        except httpx.TimeoutException as error:
            is_unmet = isinstance(error, httpx.ConnectTimeout)
            self._outcome = _away(error) if is_unmet else self._exchange.too_slow()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._outcome = _away(error)
        finally:
            self._exchange.close()


def _away(error: Exception) -> WorkFailed:
    return WorkFailed(FailureCode.INFERENCE_AWAY, f"the model's server does not answer: {type(error).__name__}: {error}")


def read_object(body: bytes) -> Mapping[str, Any]:
    """An answer that should be a JSON object; an empty one for whatever else it is."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
