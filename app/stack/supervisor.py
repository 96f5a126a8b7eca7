"""Keeps processes running: starts them, restarts the killed with back-off, stops them all, and says who they are."""

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.2, 10.0


def die_with_parent() -> None:
    """In the child, before exec: a supervisor that is killed leaves nothing behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Role:
    """One process of the stack. `prepare` runs before each start; `user` is whom to run it as."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    user: str | None = None
    prepare: Callable[[], None] | None = None
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    start_at: float = 0.0
    started_at: float = 0.0


class Supervisor:
    """Runs roles in the order in which they were added; stops them in the opposite one."""

    def __init__(self, home: Path) -> None:
        self._home, self.roles, self.stopping = home, list[Role](), threading.Event()
        (home / "logs").mkdir(parents=True, exist_ok=True)

    def start(self, role: Role) -> None:
        self.roles.append(role)
        self._spawn(role)

    def _spawn(self, role: Role) -> None:
        if role.prepare is not None:
            role.prepare()
        with (self._home / "logs" / f"{role.name}.log").open("ab") as log:
            role.process = subprocess.Popen(
                role.command,
                env=dict(role.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=role.user,
                start_new_session=True,
                preexec_fn=die_with_parent,
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

    def watch(self, on_tick: Callable[[], None] | None = None) -> None:
        """Until `stopping` is set: bring killed children back."""
        while not self.stopping.wait(0.2):
            for role in self.roles:
                self._revive(role)
            if on_tick is not None:
                on_tick()

    def _revive(self, role: Role) -> None:
        if role.process is not None and role.process.poll() is not None:
            lived = time.monotonic() - role.started_at
            slower = min(LAST_BACKOFF_SECONDS, role.backoff_seconds * 2)
            role.backoff_seconds = FIRST_BACKOFF_SECONDS if lived > 30 else slower
            role.start_at = time.monotonic() + role.backoff_seconds
            self._kill_group(role.process.pid)
            role.process = None
            self._write_processes()
        if role.process is None and time.monotonic() >= role.start_at:
            self._spawn(role)

    def stop(self, grace_seconds: float = 15) -> None:
        """Ask each to end, the last started first, then kill what is left of its group."""
        for role in reversed(self.roles):
            if role.process is None:
                continue
            if role.process.poll() is None:
                role.process.send_signal(role.stop_signal)
                try:
                    role.process.wait(grace_seconds)
                except subprocess.TimeoutExpired:
                    self._kill_group(role.process.pid)
                    role.process.wait()
            self._kill_group(role.process.pid)
        (self._home / "processes.json").unlink(missing_ok=True)

    @staticmethod
    def _kill_group(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return  # nothing of the group is left
