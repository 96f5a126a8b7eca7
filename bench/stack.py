"""A whole marketplace as `lightyard up` starts it, in a home of its own, for the time of one measurement."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from app.config import Settings, load
from app.db import Database, make_engine
from app.stack.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 60
CHAIN_PORT_OFFSET = 899
# What whoever measures has set for himself is not what is measured.
CALLERS_SERVERS = frozenset(("DATABASE_URL", "REDIS_URL", "BROKER_URL", "SOLANA_RPC_URL", "EVM_RPC_URL", "TON_API_URL"))


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


class BenchStack:
    """`with BenchStack(nodes=1) as stack`: real PostgreSQL, Valkey, gunicorn with gevent, hub worker, beat, local chain."""

    def __init__(self, nodes: int = 0, **settings: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lightyard-bench-"))
        self.home.chmod(0o755)  # PostgreSQL runs as another user and must reach its folder
        self.port = free_port(CHAIN_PORT_OFFSET, CHAIN_PORT_OFFSET + 1, CHAIN_PORT_OFFSET + 3)
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in CALLERS_SERVERS},
            "LIGHTYARD_HOME": str(self.home),
            "PORT": str(self.port),
            "NODES": str(nodes),
            "RATE_LIMITS": "off",
            "LIGHTYARD_ENV": "development",
            **settings,
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "BenchStack":
        with (self.home / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up"],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("lightyard ready"):
            said = (self.home / "up.log").read_text()[-2000:]
            self._end()
            raise BenchError(f"the stack did not start: {said}")
        self.endpoints = json.loads((self.home / "endpoints.json").read_text())
        self.database = Database(make_engine(self.settings()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is not None:
                self._show_errors()  # the home and its logs go with the stack
        finally:
            self._end()

    def _show_errors(self) -> None:
        said = (self.home / "up.log").read_text(errors="replace").splitlines()  # which children ended, and why
        print("\n".join(said[-20:]), file=sys.stderr)
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                print(f"{process.pid} {process.status()}: {' '.join(process.cmdline())[:120]}", file=sys.stderr)
        valkey = (self.home / "logs" / "valkey.log").read_text(errors="replace").splitlines()
        print("\n".join(f"valkey.log: {line}" for line in valkey[-10:]), file=sys.stderr)
        for log in sorted((self.home / "logs").glob("*.log")):
            lines = [line for line in log.read_text(errors="replace").splitlines() if '"error"' in line or "Error" in line]
            for line in lines[-5:]:
                print(f"{log.name}: {line[:4000]}", file=sys.stderr)

    def settings(self) -> Settings:
        """The settings of this stack's API, for what a measurement does in its own process."""
        return load(
            {
                **{name: self._environment[name] for name in ("LIGHTYARD_HOME", "PORT", "RATE_LIMITS")},
                "DATABASE_URL": self.endpoints["database_url"],
                "REDIS_URL": self.endpoints["redis_url"],
                "BROKER_URL": self.endpoints["redis_url"],
                "SOLANA_RPC_URL": self.endpoints["solana_rpc_url"],
                "ALLOW_PRIVATE_ENDPOINTS": "true",
                "OPEN_NODES": "true",
                "SECRET_KEY": (self.home / "secret.key").read_text(),
            }
        )

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pid_of_worker(self, role: str) -> int:
        """The process that does a role's work: the only child of one that only watches over it."""
        found: dict[str, list[int]] = json.loads((self.home / "processes.json").read_text())
        (worker,) = psutil.Process(found[role][0]).children()
        return worker.pid

    def cpu_seconds(self, *roles: str) -> float:
        """CPU time, user and system, that the processes of these roles and their children have used so far."""
        total = 0.0
        for process in self._of_roles(roles):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def pause(self, *roles: str) -> None:
        """Hold these roles still, or the whole stack, so that it costs nothing while something else is measured."""
        for process in self._of_roles(roles) if roles else self._family():
            process.suspend()

    def resume(self) -> None:
        for process in reversed(self._family()):
            process.resume()

    def processes_of(self, role: str) -> list[psutil.Process]:
        """The role's processes and their children, as they are now."""
        return self._of_roles((role,))

    def _of_roles(self, roles: tuple[str, ...]) -> list[psutil.Process]:
        found: dict[str, list[int]] = json.loads((self.home / "processes.json").read_text())
        parents = [psutil.Process(pid) for role in roles for pid in found.get(role, [])]
        return [process for parent in parents for process in (parent, *parent.children(recursive=True))]

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def _end(self) -> None:
        if hasattr(self, "database"):
            self.database.engine.dispose()
        if self._process is not None:
            family = self._family() if self._process.poll() is None else []
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for process in psutil.wait_procs(family, timeout=5)[1]:
                process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()
        shutil.rmtree(self.home, ignore_errors=True)
