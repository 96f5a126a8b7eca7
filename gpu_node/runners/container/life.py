"""One container from its start to its end: watched from outside, told to end at its time limit, and killed where it does not."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import NotFound

from gpu_node.failures import KILLED, FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.container.disk import Disk
from gpu_node.runners.container.engine import TROUBLES, Engine, words_of
from gpu_node.runners.container.measures import Measures, Meter
from gpu_node.runners.container.order import Order
from gpu_node.runners.container.printing import Printing

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
METER_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
LAST_WORDS_SECONDS = 5.0
NOT_EXECUTABLE, NOT_FOUND = NOT_STARTED = (126, 127)  # as a shell says it
STOPPED = (KILLED, 143)
NAMES_COMMAND = re.compile(r"\bexec(utable)?\b", re.IGNORECASE)
# The first word that an engine's text has, with what it means, said without the engine's paths.
NO_COMMAND = {
    "executable file": "the image has no such program in its PATH",
    "no such file": "the image has no such program, or not the interpreter or the library that it names",
    "permission denied": "the program may not be executed", "not a directory": "a part of its path is no folder",
    "exec format": "it is no program for this host's processor", "is a directory": "it is a folder",
}


@dataclass(frozen=True)
class Manners:
    """How long a container gets to end by itself when its time is over, and how it is passed on what it uses, and that it runs
    (and that it does no more)."""

    grace_seconds: float
    on_measures: Callable[[Measures], None]
    on_running: Callable[[bool], None]


class Life:
    """A container that was made and not started. `live` returns its seconds, or raises WorkFailed or WorkStopped."""

    def __init__(self, engine: Engine, client: docker.APIClient, container: str, order: Order, disk: Disk, printing: Printing,
                 meter: Meter) -> None:
        self._engine, self._client, self._container, self._order = engine, client, container, order
        self._disk, self._printing, self._meter = disk, printing, meter
        self._ended = threading.Event()
        self._exit_code: int | None = None
        self._was_engine_away = False

    def live(self, manners: Manners, stopped: Callable[[], bool]) -> float:
        """Starts it and stays until it has ended well. Of a failure the last words are told, too."""
        seconds = 0.0
        try:
            seconds = self._live(manners, stopped)
            self._judge()
        except WorkFailed as failed:
            failed.seconds = seconds
            failed.log_tail = failed.log_tail or self._printing.tail()
            raise
        return seconds

    def _live(self, manners: Manners, stopped: Callable[[], bool]) -> float:
        reader = self._read()
        with starting():
            self._client.start(self._container)
        started = time.monotonic()
        manners.on_running(True)
        try:
            threading.Thread(target=self._wait, name="container-end", daemon=True).start()
            self._watch(started, manners, stopped)
            return time.monotonic() - started
        finally:
            self._kill()
            manners.on_running(False)
            reader.join(LAST_WORDS_SECONDS)

    def _read(self) -> threading.Thread:
        """Reads what it prints from before its start on, so that not a line is missed."""
        client = self._engine.open(None)
        with starting():
            stream = client.attach(self._container, stdout=True, stderr=True, stream=True, demux=True)

        def read() -> None:
            try:
                for out, error in stream:
                    if out:
                        self._printing.feed("stdout", out)
                    if error:
                        self._printing.feed("stderr", error)
            except TROUBLES as trouble:
                log.warning("a container's output broke off", extra={"reason": str(trouble)})
            finally:
                client.close()

        thread = threading.Thread(target=read, name="container-output", daemon=True)
        thread.start()
        return thread

    def _wait(self) -> None:
        """Until it has ended. An engine that is away (restarted, say) is asked again for a while: its containers may go on."""
        silent_since: float | None = None
        while not self._ended.is_set():
            try:
                with closing(self._engine.open(None)) as client:
                    self._exit_code = int(client.wait(self._container)["StatusCode"])
                break
            except NotFound:
                break
            except TROUBLES as trouble:
                silent_since, self._was_engine_away = silent_since or time.monotonic(), True
                if time.monotonic() - silent_since > PATIENCE_SECONDS:
                    log.error("the container engine is gone", extra={"reason": str(trouble)})
                    break
                self._ended.wait(1.0)
        self._ended.set()

    def _watch(self, started: float, manners: Manners, stopped: Callable[[], bool]) -> None:
        meter_at = started + min(1.0, METER_SECONDS)
        while not self._ended.wait(WATCH_SECONDS):
            if stopped():
                raise WorkStopped("the work is not wanted any more")
            now = time.monotonic()
            if now - started > self._order.seconds:
                self._ask_to_end(manners.grace_seconds)
                raise WorkFailed(FailureCode.TIME_LIMIT, f"took longer than the {self._order.seconds:g} s allowed")
            self._disk.check()
            self._printing.flush()
            if now >= meter_at:
                meter_at = now + METER_SECONDS
                measures = self._meter.sample()
                if measures is not None:
                    manners.on_measures(measures)

    def _ask_to_end(self, grace_seconds: float) -> None:
        """SIGTERM; what does not end for it is killed by whoever called."""
        try:
            self._client.kill(self._container, "SIGTERM")
        except TROUBLES as trouble:
            log.debug("a container could not be told to end", extra={"reason": str(trouble)})
        self._ended.wait(grace_seconds)

    def _kill(self) -> None:
        if self._ended.is_set():
            return
        try:
            self._client.kill(self._container, "SIGKILL")
        except TROUBLES as trouble:
            log.info("a container could not be killed; it is removed", extra={"reason": str(trouble)})
        self._ended.wait(LAST_WORDS_SECONDS)

    def _judge(self) -> None:
        """Raises WorkFailed unless it ended with 0 by itself."""
        state = self._state()
        code = self._exit_code if self._exit_code is not None else state.get("ExitCode")
        if code in STOPPED and self._was_engine_away:
            raise WorkFailed(FailureCode.SANDBOX_ERROR, "the container engine ended, and the container with it")
        if state.get("OOMKilled") or code == KILLED:
            # Nobody inside can kill a container's first process, and not every engine says that the kernel did.
            said = f"was killed by the kernel, as what uses more memory than the {self._order.memory_bytes} bytes allowed"
            raise WorkFailed(FailureCode.OUT_OF_MEMORY, said, exit_code=code or KILLED)
        if code is None:
            raise WorkFailed(FailureCode.SANDBOX_ERROR, "the container engine lost the container")
        if code:
            why = " (the command could not be started)" if code in NOT_STARTED else ""
            raise WorkFailed(FailureCode.EXECUTION_ERROR, f"the command ended with status {code}{why}", exit_code=code)

    def _state(self) -> dict[str, Any]:
        try:
            return dict(self._client.inspect_container(self._container).get("State") or {})
        except TROUBLES as trouble:
            log.warning("a container's end can't be read", extra={"reason": str(trouble)})
            return {}


@contextmanager
def starting() -> Iterator[None]:
    """Tells a command that is not in the image from trouble with the engine, whose words stay in this host's log."""
    try:
        yield
    except TROUBLES as trouble:
        said = words_of(trouble)
        log.warning("a container could not be started", extra={"reason": said})
        for word, why in NO_COMMAND.items():
            if word in said.lower():
                message = f"the command could not be started: {why}"
                raise WorkFailed(FailureCode.EXECUTION_ERROR, message, exit_code=_status_of(said)) from trouble
        raise WorkFailed(FailureCode.SANDBOX_ERROR, "this host's container engine could not start the container") from trouble


def _status_of(said: str) -> int | None:
    """What a shell's status would be, for an engine's words about the command itself; None where they may be about the host."""
    if NAMES_COMMAND.search(said) is None:
        return None
    return NOT_FOUND if "not found" in said.lower() or "no such file" in said.lower() else NOT_EXECUTABLE
