"""Gives back what it was given: the payload's bytes, or its reference where the hub has no bytes for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpu_node.runners.outputs import BYTES_TYPE, write_output
from gpu_node.session import Limits


class EchoRunner:
    def run(self, reference: str, payload: bytes | None, limits: Limits, folder: Path,
            stopped: Callable[[], bool]) -> tuple[Path, str]:
        """The file and its content type. Raises WorkFailed for more bytes than a result may have."""
        data = reference.encode() if payload is None else payload
        return write_output(folder, data, limits.max_output_bytes), BYTES_TYPE
