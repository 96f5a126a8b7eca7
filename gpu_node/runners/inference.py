"""Asks a model on this host: any server with OpenAI's chat/completions (vLLM, llama.cpp, Ollama and others)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.runners.model_server import Answer, Call, Exchange, ModelServer, read_object
from gpu_node.runners.outputs import JSON_TYPE, read_json_payload, write_output
from gpu_node.session import Limits

QUOTED_CHARACTERS = 300


class InferenceRunner:
    def __init__(self, server: ModelServer, transport: httpx.BaseTransport | None = None) -> None:
        self._server = server
        self._transport = transport

    def run(self, reference: str, payload: bytes | None, limits: Limits, folder: Path,
            stopped: Callable[[], bool]) -> tuple[Path, str]:
        """The file and its content type. Raises WorkFailed or WorkStopped."""
        if payload is None:
            raise WorkFailed(FailureCode.INPUT_UNAVAILABLE, f"the request lies where this node can't fetch it: {reference}")
        request = _request(payload, self._server.model)
        call = Call(Exchange(self._server, limits, self._transport), lambda exchange: _complete(exchange, request))
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


def _complete(exchange: Exchange, request: dict[str, Any]) -> bytes:
    """The server's answer, if it is one: JSON with choices."""
    answer = exchange.ask("POST", "/chat/completions", json=request)
    if answer.status >= 500:
        raise WorkFailed(FailureCode.INFERENCE_FAILED, _said(answer))
    if answer.status != 200:
        raise WorkFailed(FailureCode.INFERENCE_REFUSED, _said(answer))
    choices = read_object(answer.body).get("choices")
    if not isinstance(choices, list) or not choices:
        shown = answer.body[:QUOTED_CHARACTERS].decode("utf-8", "replace")
        raise WorkFailed(FailureCode.INFERENCE_GARBLED, f"the model's server answered what is no completion: {shown}")
    return answer.body


def _said(answer: Answer) -> str:
    return f"the model's server answered {answer.status}: {answer.body[:QUOTED_CHARACTERS].decode('utf-8', 'replace')}"
