"""`lightyard up` as a user starts it: a process of its own in a home and on ports of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.stack import leftovers
from app.stack.ports import free_port
from devnet.payer import Payer
from tests.factories import command_lines

ROOT = Path(__file__).parent.parent.parent
# A connection for each request: a hub closes idle ones after two seconds, perhaps just as a test that had to wait asks again.
FRESH = httpx.Limits(max_keepalive_connections=0)
COMMAND = [sys.executable, "-m", "app.cli"]
TINY = {"resolution": {"width": 32, "height": 24}, "samples": 1, "frames": {"start": 1, "end": 1}}


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Poll other processes' state, which tells nobody of its changes; fails by naming what never came."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


class RunningStack:
    """`process` is the supervisor; what it printed is in `log`."""

    def __init__(self, home: Path, port: int | None = None, **settings: str) -> None:
        self.home, self.port = home, port or free_port(899, 900, 901, 902)
        self.log = home.with_name(f"{home.name}.log")
        values = {"LIGHTYARD_HOME": str(home), "PORT": str(self.port), "RATE_LIMITS": "off", "NODES": "0"}
        environment = {**os.environ, **values, **settings}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "up"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.first_line = ""

    def wait_ready(self) -> "RunningStack":
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        assert self.first_line == f"lightyard ready http://127.0.0.1:{self.port}\n", self.log.read_text()[-2000:]
        return self

    @property
    def endpoints(self) -> dict[str, Any]:
        return json.loads((self.home / "endpoints.json").read_text())

    @property
    def processes(self) -> dict[str, list[int]]:
        return json.loads((self.home / "processes.json").read_text())

    def pid(self, role: str) -> int | None:
        found = self.processes.get(role, [])
        return found[0] if found and psutil.pid_exists(found[0]) else None

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def is_healthy(self) -> bool:
        """The API, its database and the local chain answer."""
        ask = {"jsonrpc": "2.0", "id": 1, "method": "getHealth", "params": []}
        try:
            answers = [
                httpx.get(f"http://127.0.0.1:{self.port}/stats", timeout=5),
                httpx.post(f"http://127.0.0.1:{self.port + 899}", json=ask, timeout=5),
            ]
        except httpx.TransportError:
            return False
        return all(answer.status_code == 200 for answer in answers)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop it as a user does; its exit code. Nothing may be left of it."""
        children = self.children() if self.process.poll() is None else []
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert (alive, leftovers.of_home(self.home)) == ([], [])
        assert not any((self.home / name).exists() for name in ("processes.json", "endpoints.json"))
        return code

    def render(self, scene: bytes, seconds: float = 90) -> str:
        """Order, pay and wait for one tiny picture, as a patient client does; returns the job's last status."""
        payer = Payer(self.endpoints["solana_rpc_url"])
        payer.airdrop(10**9)
        with httpx.Client(limits=FRESH, base_url=self.endpoints["api_url"], timeout=30) as client:
            form = {"clientWallet": payer.address, "settings": json.dumps(TINY)}
            answer = _patiently(lambda: client.post("/render", data=form, files={"file": ("scene.blend", scene)}))
            assert answer.status_code == 402, answer.text
            payment = answer.json()["payment"]
            signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
            shown = {"jobId": payment["jobId"], "txSignature": signature}
            answer = _patiently(lambda: client.post("/render/pay", json=shown))
            assert answer.status_code == 200, answer.text
            status = ""
            deadline = time.monotonic() + seconds
            while status not in ("completed", "failed", "cancelled") and time.monotonic() < deadline:
                status = client.get(f"/render/{payment['jobId']}").json()["data"]["status"]
                time.sleep(0.2)  # Rayment's clients poll
            return status


def _patiently(ask: Callable[[], httpx.Response], seconds: float = 10) -> httpx.Response:
    """Asked again while a part of the hub that was killed is on its way back: it says 503, and to try again."""
    deadline = time.monotonic() + seconds
    while (answer := ask()).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A short-lived folder that PostgreSQL's own user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="lightyard-test-"))
    folder.chmod(0o755)
    try:
        yield folder / "home"
    finally:
        leftovers.take_down(leftovers.of_home(folder / "home"))
        shutil.rmtree(folder)


def lightyard(*arguments: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One command of the command line, to its end."""
    return command_lines.run(*arguments, environment={**os.environ, "LIGHTYARD_HOME": str(home), **settings})
