"""A child process kept for one job: the scene is loaded once, then frame after frame is asked of it.

The parent watches from outside: memory, the clock, and whether the work is still wanted. A child is never trusted to
notice by itself: SIGINT and Python's own alarms are not served while Blender's C code runs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.sandbox import Box
from gpu_node.usage import ProcessTree, count_files, descendants

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
TERM_GRACE_SECONDS = 2.0
QUIT_GRACE_SECONDS = 3.0
LOG_TAIL_BYTES = 4000
MAX_EVENT_CHARACTERS = 1_000_000
MAX_WAITING_EVENTS = 64
ADDRESS_SPACE_HEADROOM_BYTES = 3 * 1024**3
FILE_FLOOR_BYTES = 16 * 1024**2
OPEN_FILES = 1024
MAX_PROCESSES = 32
MAX_OUTPUT_FILES = 64
NPROC_FLOOR, NPROC_PER_CPU = 512, 24


@dataclass(frozen=True)
class Limits:
    """What one unit of work may use; bytes, seconds, pixels. They come with the claim."""

    max_seconds: float = 3600.0
    max_memory_bytes: int = 16 * 1024**3
    max_output_bytes: int = 2 * 1024**3
    max_pixels: int = 16384 * 16384


class Session:
    """One child. Start it from a thread that lives as long as the child may: the kernel ties them together.

    A child is started with its host's `limits`; `lower` gives it those of the job that it is then used for.
    """

    def __init__(self, box: Box, python: str, limits: Limits, log_path: Path, limit_address_space: bool) -> None:
        self.limits = limits
        self.peak_memory_bytes = 0
        self.box = box
        self._log_path = log_path
        self._limit_address_space = limit_address_space
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue(MAX_WAITING_EVENTS)
        self._watch_at = 0.0
        self._greeted = False
        with log_path.open("wb") as log_file:
            self._process = subprocess.Popen(
                box.command(python, ["child.py", json.dumps(self._child_limits())]), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log_file, env=box.environment(), cwd=box.output_folder,
                start_new_session=True)
        self._tree = ProcessTree(self._process.pid)
        threading.Thread(target=self._read_events, name="session-events", daemon=True).start()

    def _child_limits(self) -> dict[str, int | None]:
        space = self.limits.max_memory_bytes + ADDRESS_SPACE_HEADROOM_BYTES
        boxed = self.box.kind != "none"
        return {"address_space_bytes": space if self._limit_address_space else None,
                "file_bytes": max(self.limits.max_output_bytes + 1, FILE_FLOOR_BYTES), "open_files": OPEN_FILES,
                # Without a user namespace of its own the child's count would be that of all this user's processes.
                "processes": max(NPROC_FLOOR, NPROC_PER_CPU * (os.cpu_count() or 1)) if boxed else None,
                "parent_pid": None if boxed else os.getpid()}

    def wait_ready(self, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Until the child has Blender loaded; at once when it said so before. Raises as `ask`."""
        if not self._greeted:
            self.wait_for("ready", seconds, stopped)
            self._greeted = True

    def lower(self, limits: Limits) -> None:
        """Gives the child a job's limits, which may only be lower than those it has. Raises as `ask`."""
        self.limits = limits
        self.ask("limit", "limited", QUIT_GRACE_SECONDS * 10, limits=self._child_limits())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, command: str, answer: str, seconds: float, stopped: Callable[[], bool] = lambda: False,
            on_progress: Callable[[float], None] = lambda share: None, **fields: Any) -> dict[str, Any]:
        """Sends one command and waits for its answer, watching over the child.

        Raises WorkFailed (the child is dead afterwards, unless it was the scene's own error) or WorkStopped.
        """
        self._send({"command": command, "cpu_seconds": seconds * (os.cpu_count() or 1) + 1, **fields})
        self._watch_at = time.monotonic() + WATCH_SECONDS
        return self.wait_for(answer, seconds, stopped, on_progress)

    def wait_for(self, answer: str, seconds: float, stopped: Callable[[], bool] = lambda: False,
                 on_progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
        """The next event called `answer`. Raises as `ask`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=WATCH_SECONDS)
            except queue.Empty:
                self._watch(deadline, seconds, stopped)
                continue
            if event is None:
                raise self._death()
            if event["event"] == answer:
                self._check_usage()
                return event
            if event["event"] == "error":
                raise WorkFailed(_code_of(event), str(event.get("message"))[:1000], self.log_tail())
            if event["event"] == "progress":
                on_progress(_share_of(event))
            if time.monotonic() >= self._watch_at:
                self._watch(deadline, seconds, stopped)

    def close(self) -> None:
        """Ends the child: politely, then SIGTERM, then SIGKILL to the whole group. Safe to call twice."""
        if self.alive:
            try:
                self._send({"command": "quit"})
                self._process.wait(QUIT_GRACE_SECONDS)
            except (WorkFailed, subprocess.TimeoutExpired):
                log.info("child did not quit by itself", extra={"pid": self.pid})
        self.kill()

    def kill(self) -> None:
        """Ends the child now and reaps it, with all it started. Safe to call twice."""
        # Inside the sandbox the kernel ends them all with the first; without it they may have left the group.
        family = descendants(self.pid)[1:] if self.box.kind == "none" and self.alive else []
        for number, grace_seconds in ((signal.SIGTERM, TERM_GRACE_SECONDS), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                break
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                log.info("child ignored SIGTERM", extra={"pid": self.pid})
        self._process.wait()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                log.debug("it ended with the group", extra={"pid": pid})
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                _close_quietly(stream)

    def log_tail(self) -> str:
        """The end of what the child wrote on stderr."""
        try:
            with self._log_path.open("rb") as file:
                file.seek(max(0, self._log_path.stat().st_size - LOG_TAIL_BYTES))
                return file.read(LOG_TAIL_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def _send(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            raise self._death() from None

    def _read_events(self) -> None:
        """Feeds the queue from the child's stdout; None marks its end. What is not an event, or comes in floods, is dropped."""
        assert self._process.stdout is not None
        try:
            while line := self._process.stdout.readline(MAX_EVENT_CHARACTERS):
                try:
                    event = json.loads(line)
                    self._events.put_nowait(event if "event" in event else {"event": "unknown"})
                except queue.Full:
                    log.debug("the child tells more than anybody asked")
                except (ValueError, TypeError):
                    log.warning("the child sent a line that is no event", extra={"line": line[:200].decode("latin-1")})
        except ValueError:
            log.debug("the child's pipe was closed while it was read")
        while True:
            try:
                return self._events.put_nowait(None)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._events.get_nowait()

    def _watch(self, deadline: float, seconds: float, stopped: Callable[[], bool]) -> None:
        if stopped():
            self.kill()
            raise WorkStopped("the work is not wanted any more")
        self._watch_at = time.monotonic() + WATCH_SECONDS
        if time.monotonic() > deadline:
            raise self._end(FailureCode.TIME_LIMIT, f"took longer than the {seconds:g} s allowed")
        self._check_usage()

    def _check_usage(self) -> None:
        """Ends a child that uses more than it may. The kernel keeps the peak, so no spike slips through between."""
        reading = self._tree.read()
        self.peak_memory_bytes = max(self.peak_memory_bytes, reading.peak_bytes)
        if reading.peak_bytes > self.limits.max_memory_bytes:
            raise self._end(FailureCode.OUT_OF_MEMORY, f"used more than the {self.limits.max_memory_bytes} bytes allowed")
        if reading.processes > MAX_PROCESSES:
            raise self._end(FailureCode.CRASHED, f"started more than the {MAX_PROCESSES} processes allowed")
        files, size = count_files(self.box.output_folder)
        if files > MAX_OUTPUT_FILES:
            raise self._end(FailureCode.OUTPUT_LIMIT, f"wrote more than the {MAX_OUTPUT_FILES} files allowed")
        if size > max(self.limits.max_output_bytes, FILE_FLOOR_BYTES):
            raise self._end(FailureCode.OUTPUT_LIMIT, f"wrote {size} bytes; {self.limits.max_output_bytes} are allowed")

    def _end(self, code: FailureCode, message: str) -> WorkFailed:
        self.kill()
        return WorkFailed(code, message, self.log_tail())

    def _death(self) -> WorkFailed:
        """Why the child is gone, as far as its exit says."""
        try:
            code = self._process.wait(TERM_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.returncode
        self.kill()
        tail = self.log_tail()
        lowered = tail.lower()
        if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
            return WorkFailed(FailureCode.TIME_LIMIT, "used more processor time than the time allowed has", tail)
        if "bad_alloc" in lowered or "malloc returns null" in lowered or "memoryerror" in lowered:
            return WorkFailed(FailureCode.OUT_OF_MEMORY, "Blender ran out of the memory it was allowed", tail)
        if "bwrap:" in lowered:
            return WorkFailed(FailureCode.SANDBOX_ERROR, "the sandbox could not be made", tail)
        return WorkFailed(FailureCode.CRASHED, f"Blender ended by itself with status {code}", tail)


def _code_of(event: dict[str, Any]) -> FailureCode:
    """A child that was taken over may say anything."""
    try:
        return FailureCode(str(event.get("code")))
    except ValueError:
        return FailureCode.CRASHED


def _share_of(event: dict[str, Any]) -> float:
    share = event.get("progress")
    return min(1.0, max(0.0, float(share))) if isinstance(share, int | float) else 0.0


def _close_quietly(stream: Any) -> None:
    try:
        stream.close()
    except (BrokenPipeError, ValueError):
        log.debug("the child was gone before its pipe was closed")
