"""Asks a model on this host: any server with OpenAI's chat/completions (vLLM, llama.cpp, Ollama and others)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.outputs import JSON_TYPE, read_json_payload, write_output
from gpu_node.session import Limits

LOOK_SECONDS = 0.1
CONNECT_SECONDS = 5.0
QUOTED_CHARACTERS = 300


@dataclass(frozen=True)
class ModelServer:
    """`base_url` is what comes before /chat/completions; `model` replaces the one that a request names, where it is set."""

    base_url: str
    model: str | None = None
    api_key: str | None = None
    max_seconds: float = 300.0


class InferenceRunner:
    def __init__(self, server: ModelServer, transport: httpx.BaseTransport | None = None) -> None:
        self._server = server
        self._transport = transport

    def run(self, reference: str, payload: bytes | None, limits: Limits, folder: Path,
            stopped: Callable[[], bool]) -> tuple[Path, str]:
        """The file and its content type. Raises WorkFailed or WorkStopped."""
        if payload is None:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the request lies where this node can't fetch it: {reference}")
        call = _Call(self._server, _request(payload, self._server.model), limits, self._transport)
        return write_output(folder, call.wait(stopped), limits.max_output_bytes), JSON_TYPE


def _request(payload: bytes, model: str | None) -> dict[str, Any]:
    """The chat request as the server gets it: this host's model, and one answer rather than a stream."""
    asked = read_json_payload(payload)
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list) or not asked["messages"]:
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, 'the payload must be a chat/completions request: {"messages": [...]}')
    request = {name: value for name, value in asked.items() if name not in ("stream", "stream_options")}
    if model is not None:
        request["model"] = model
    if not isinstance(request.get("model"), str):
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, "the request names no model, and this node has no model of its own set")
    return request


class _Call(threading.Thread):
    """One call in a thread of its own: work that is not wanted any more is left at once, and its call ends by its own limit."""

    def __init__(self, server: ModelServer, request: dict[str, Any], limits: Limits,
                 transport: httpx.BaseTransport | None) -> None:
        super().__init__(name="inference", daemon=True)
        self._server, self._request, self._transport = server, request, transport
        self._seconds = min(server.max_seconds, limits.max_seconds)
        self._max_bytes = limits.max_output_bytes
        self._deadline = time.monotonic() + self._seconds
        self._answer: bytes | WorkFailed = WorkFailed(FailureCode.CRASHED, "the call to the model's server broke off")

    def wait(self, stopped: Callable[[], bool]) -> bytes:
        """The server's answer, checked. Raises WorkFailed or WorkStopped."""
        self.start()
        while self.is_alive():
            self.join(LOOK_SECONDS)
            if stopped():
                raise WorkStopped("the work is not wanted any more")
            if time.monotonic() > self._deadline + CONNECT_SECONDS:
                raise self._too_slow()
        if isinstance(self._answer, WorkFailed):
            raise self._answer
        return self._answer

    def run(self) -> None:
        try:
            self._answer = _checked(self._ask())
        except WorkFailed as failed:
            self._answer = failed
        except httpx.TimeoutException as error:
            is_unmet = isinstance(error, httpx.ConnectTimeout)
            self._answer = self._away(error) if is_unmet else self._too_slow()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._answer = self._away(error)

    def _ask(self) -> bytes:
        headers = {"Authorization": f"Bearer {self._server.api_key}"} if self._server.api_key else {}
        timeout = httpx.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds))
        url = self._server.base_url.rstrip("/") + "/chat/completions"
        with (
            httpx.Client(timeout=timeout, transport=self._transport, trust_env=False) as client,
            client.stream("POST", url, json=self._request, headers=headers) as response,
        ):
            body = self._read(response)
            if response.status_code >= 500:
                raise WorkFailed(FailureCode.INFERENCE_FAILED, _said(response.status_code, body))
            if response.status_code != 200:
                raise WorkFailed(FailureCode.INFERENCE_REFUSED, _said(response.status_code, body))
            return body

    def _read(self, response: httpx.Response) -> bytes:
        """The whole answer, while it is neither too large nor too late."""
        body = bytearray()
        for chunk in response.iter_bytes(1 << 16):
            body += chunk
            if len(body) > self._max_bytes:
                raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"the answer has more than the {self._max_bytes} bytes allowed")
            if time.monotonic() > self._deadline:
                raise self._too_slow()
        return bytes(body)

    def _away(self, error: Exception) -> WorkFailed:
        return WorkFailed(FailureCode.INFERENCE_AWAY, f"the model's server does not answer: {type(error).__name__}: {error}")

    def _too_slow(self) -> WorkFailed:
        return WorkFailed(FailureCode.TIME_LIMIT, f"the model took longer than the {self._seconds:g} s allowed")


def _said(status: int, body: bytes) -> str:
    return f"the model's server answered {status}: {body[:QUOTED_CHARACTERS].decode('utf-8', 'replace')}"


def _checked(body: bytes) -> bytes:
    """The answer, if it is one: JSON with choices."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list) or not answer["choices"]:
        shown = body[:QUOTED_CHARACTERS].decode("utf-8", "replace")
        raise WorkFailed(FailureCode.INFERENCE_GARBLED, f"the model's server answered what is no completion: {shown}")
    return body
