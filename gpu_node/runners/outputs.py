"""What a run leaves on this host's disk: bytes, and what they claim to be."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed

JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"


@dataclass(frozen=True)
class Output:
    """One finished run's file. `content_type` is a promise: the hub reads what says it is JSON."""

    path: Path
    content_type: str
    seconds: float


def write_output(folder: Path, data: bytes, max_bytes: int) -> Path:
    """The bytes in a file of their own. Raises WorkFailed past the limit."""
    if len(data) > max_bytes:
        raise WorkFailed(FailureCode.OUTPUT_LIMIT, f"the result has {len(data)} bytes; {max_bytes} are allowed")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.out"
    path.write_bytes(data)
    return path


def read_json_payload(data: bytes) -> Any:
    """A payload that must be JSON. Raises WorkFailed."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, "the payload is not JSON") from None
