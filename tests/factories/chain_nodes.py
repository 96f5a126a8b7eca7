"""The local Solana as a process of its own, spoken to over its ports only."""

import itertools
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
STOP_SECONDS = 20


class Node:
    """One devnet process; `rpc` raises Refusal, `ask` gives the whole answer."""

    def __init__(self, *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "devnet", "--port", str(port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready.startswith("devnet ready "):
            raise RuntimeError(f"no devnet: {ready}{self.end()[1]}")
        _, _, self.url, self.socket_url = ready.split()
        self.port = int(self.url.rsplit(":", 1)[1])
        self.http = httpx.Client(base_url=self.url, timeout=20)
        self._numbers = itertools.count(1)

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self.http.post("/", json={"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        assert body["id"] == number and body["jsonrpc"] == "2.0"
        return body

    def rpc(self, method: str, *params: Any) -> Any:
        body = self.ask(method, *params)
        assert "error" not in body, body["error"]
        return body["result"]

    def refusal(self, method: str, *params: Any) -> dict[str, Any]:
        """The error that a call must end with."""
        body = self.ask(method, *params)
        assert "result" not in body, body
        return body["error"]  # type: ignore[no-any-return]

    def pass_slots(self, slots: int = 32) -> None:
        self.rpc("svm_advanceSlots", slots)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """(exit status, stderr) after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, errors
