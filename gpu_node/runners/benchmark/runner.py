"""Measures this host's processors in a child process, for a bounded time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.outputs import JSON_TYPE, read_json_payload, write_output
from gpu_node.session import Limits

CHILD = Path(__file__).resolve().parent / "child.py"
DEFAULT_SECONDS, LONGEST_SECONDS = 2.0, 30.0
START_SECONDS = 15.0
LOOK_SECONDS = 0.1


class BenchmarkRunner:
    def run(self, reference: str, payload: bytes | None, limits: Limits, folder: Path,
            stopped: Callable[[], bool]) -> tuple[Path, str]:
        """The file and its content type. Raises WorkFailed or WorkStopped."""
        seconds = _seconds(payload)
        found = _measure(seconds, min(limits.max_seconds, seconds + START_SECONDS), stopped)
        return write_output(folder, found, limits.max_output_bytes), JSON_TYPE


def _seconds(payload: bytes | None) -> float:
    """How long to measure: `{"seconds": 5}` in the payload, where there is one."""
    asked = read_json_payload(payload) if payload else {}
    seconds = asked.get("seconds", DEFAULT_SECONDS) if isinstance(asked, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_SECONDS:
        said = f'a benchmark\'s payload is {{"seconds": up to {LONGEST_SECONDS:g}}}, or nothing'
        raise WorkFailed(FailureCode.PAYLOAD_INVALID, said)
    return float(seconds)


def _measure(seconds: float, limit_seconds: float, stopped: Callable[[], bool]) -> bytes:
    command = [sys.executable, "-I", str(CHILD), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        deadline = time.monotonic() + limit_seconds
        try:
            while True:
                try:
                    out, complaint = child.communicate(timeout=LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _check(stopped, deadline, limit_seconds)
        finally:
            child.kill()
    if child.returncode:
        tail = complaint[-2000:].decode("utf-8", "replace")
        raise WorkFailed(FailureCode.CRASHED, f"the measurement ended with status {child.returncode}", tail)
    return out.strip()


def _check(stopped: Callable[[], bool], deadline: float, limit_seconds: float) -> None:
    if stopped():
        raise WorkStopped("the work is not wanted any more")
    if time.monotonic() > deadline:
        raise WorkFailed(FailureCode.TIME_LIMIT, f"took longer than the {limit_seconds:g} s allowed")
