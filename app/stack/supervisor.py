"""Keeps processes running: starts them, restarts the killed with back-off, stops them all, and says who they are."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.stack import interrupts

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS, WELL_AFTER_SECONDS = 0.2, 10.0, 30.0
LOOK_SECONDS = 0.2  # between two looks at the children
SERVERS, HUB, NODES = 0, 1, 2  # stages: the highest is stopped first


def die_with_parent(by: int = signal.SIGKILL) -> None:
    """In the child, before exec: a supervisor that is killed leaves nothing behind."""
    _libc.prctl(PR_SET_PDEATHSIG, by)


def _before_exec() -> None:
    interrupts.let_through()
    die_with_parent()


@dataclass
class Role:
    """One process of the stack. `prepare` runs before each start; a whole stage is stopped at once."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    stage: int
    prepare: Callable[[], None] | None = None
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    start_at: float = 0.0
    started_at: float = 0.0


class Supervisor:
    """Starts roles in the order in which they are added and keeps them running while `watch` runs.

    `say` gets one line for each thing that a person at the terminal would want to know.
    """

    def __init__(self, home: Path, say: Callable[[str], None] | None = None) -> None:
        self._home, self.roles = home, list[Role]()
        self.is_stopping = False  # no Event: a signal handler sets it, and may interrupt the thread that holds an Event's lock
        self.say = say or (lambda line: print(f"lightyard: {line}", file=sys.stderr, flush=True))
        (home / "logs").mkdir(parents=True, exist_ok=True)

    def log_of(self, role_name: str) -> Path:
        return self._home / "logs" / f"{role_name}.log"

    def start(self, role: Role) -> None:
        self.roles.append(role)
        self._spawn(role)

    def _spawn(self, role: Role) -> None:
        if role.prepare is not None:
            role.prepare()
        with self.log_of(role.name).open("ab") as log, interrupts.held():
            role.process = subprocess.Popen(
                role.command,
                env=dict(role.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_before_exec,
            )
        role.started_at = time.monotonic()
        self._write_processes()

    def _write_processes(self) -> None:
        """processes.json: {role: [pid]}, never half-written."""
        found: dict[str, list[int]] = {}
        for role in self.roles:
            if role.process is not None and role.process.poll() is None:
                found.setdefault(role.name.split("-")[0], []).append(role.process.pid)
        part = self._home / "processes.json.part"
        part.write_text(json.dumps(found, indent=1))
        part.replace(self._home / "processes.json")

    def watch(self) -> None:
        """Until `is_stopping`: bring killed children back."""
        while True:
            time.sleep(LOOK_SECONDS)
            if self.is_stopping:
                return
            for role in self.roles:
                self._revive(role)

    def ended(self) -> list[Role]:
        """Roles whose process is over: a start that waits for them waits in vain."""
        return [role for role in self.roles if role.process is not None and role.process.poll() is not None]

    def _revive(self, role: Role) -> None:
        if role.process is not None and role.process.poll() is not None:
            self._note_end(role, role.process)
        if role.process is None and time.monotonic() >= role.start_at:
            try:
                self._spawn(role)
            except (OSError, RuntimeError) as error:
                self._put_off(role, f"{role.name} could not be started: {error}")

    def _note_end(self, role: Role, process: subprocess.Popen[bytes]) -> None:
        self._kill_group(process.pid)
        role.process = None
        if time.monotonic() - role.started_at > WELL_AFTER_SECONDS:
            role.backoff_seconds = FIRST_BACKOFF_SECONDS
        code = process.returncode
        reason = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._put_off(role, f"{role.name} {reason}")
        self._write_processes()

    def _put_off(self, role: Role, reason: str) -> None:
        role.start_at = time.monotonic() + role.backoff_seconds
        self.say(f"{reason}; starting it again in {role.backoff_seconds:.1f} s (log: {self.log_of(role.name)})")
        role.backoff_seconds = min(LAST_BACKOFF_SECONDS, role.backoff_seconds * 2)

    def stop(self, grace_seconds: float = 15) -> None:
        """Ask each stage to end, the highest first, then kill what is left of it."""
        for stage in sorted({role.stage for role in self.roles}, reverse=True):
            self._stop_stage([role for role in self.roles if role.stage == stage], grace_seconds)
        (self._home / "processes.json").unlink(missing_ok=True)

    def kill(self) -> None:
        """No more patience: everything ends now. What `stop` waits for is then over."""
        for role in self.roles:
            if role.process is not None:
                self._kill_group(role.process.pid)

    def _stop_stage(self, roles: Iterable[Role], grace_seconds: float) -> None:
        running = [(role, role.process) for role in roles if role.process is not None]
        for role, process in running:
            if process.poll() is None:
                process.send_signal(role.stop_signal)
        deadline = time.monotonic() + grace_seconds
        for _, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill_group(process.pid)
                process.wait()
            self._kill_group(process.pid)

    @staticmethod
    def _kill_group(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return  # nothing of the group is left
