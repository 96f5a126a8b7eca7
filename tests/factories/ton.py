"""The local TON as a process of its own, spoken to over its port only."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devnet.ton import program
from tests.factories.missing import go_without

STOP_SECONDS = 20
TON = 10**9  # nanotons


class TonChain:
    """One devnet.ton process. With `block_ms` 0 blocks pass by `advance` only, and at once.

    `api_url` is toncenter's base (".../api/v2"); `call` gives a method's result, `refusal` the error that it must end with.
    Amounts are in nanotons. Addresses are given as toncenter gives them (EQ...); every form is taken.
    """

    def __init__(self, home: Path | None = None, block_ms: int = 0, port: int = 0, options: tuple[str, ...] = ()) -> None:
        command = program.command(port, home, block_ms, *options)
        if command is None:
            go_without("the local TON is not installed (`make ton-chain`), so nothing was tried on it")
        assert command is not None
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=program.ROOT, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready.startswith(program.READY):
            raise RuntimeError(f"no local TON: {ready}{self.end()[1]}")
        self.api_url = ready.split()[2]
        self.url = self.api_url.removesuffix("/api/v2")
        self.port = int(self.url.rsplit(":", 1)[1])
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def ask(self, method: str, /, **params: Any) -> httpx.Response:
        """A method of toncenter v2, posted."""
        return self.http.post(f"/api/v2/{method}", json=params)

    def call(self, method: str, /, **params: Any) -> Any:
        return self._result(self.ask(method, **params))

    def refusal(self, method: str, /, **params: Any) -> dict[str, Any]:
        answer = self.ask(method, **params)
        body: dict[str, Any] = answer.json()
        assert body["ok"] is False and body["code"] == answer.status_code, body
        return body

    def dev(self, method: str, /, **params: Any) -> Any:
        """A method of the test chain's own (devnet/README.md)."""
        return self._result(self.http.post(f"/dev/{method}", json=params))

    @staticmethod
    def _result(answer: httpx.Response) -> Any:
        body = answer.json()
        assert answer.status_code == 200 and body["ok"] is True, body
        return body["result"]

    def advance(self, blocks: int = 1, seconds: int = 0) -> int:
        """Let blocks (and time) pass: the newest block's number. A transfer and its arrival take two."""
        return int(self.dev("advance", blocks=blocks, seconds=seconds)["seqno"])

    def fund(self, address: str, nano: int, comment: str = "") -> None:
        """Money from nowhere, there when this returns: its message comes from the masterchain's zero address."""
        self.dev("faucet", address=address, amount=nano, comment=comment)
        self.advance()

    def wallet(self, name: str, nano: int = 0) -> str:
        """The address of the test wallet of that name (v4r2; it signs `pay`), given money first if `nano`."""
        address = str(self.dev("wallet", name=name)["address"])
        if nano:
            self.fund(address, nano)
        return address

    def pay(self, name: str, to: str, nano: int, comment: str = "", bounce: bool = False) -> str:
        """A real transfer by a test wallet, arrived (or bounced) when this returns; the external message's hash, base64."""
        sent = self.dev("pay", **{"from": name, "to": to, "amount": nano, "comment": comment, "bounce": bounce})
        self.advance(3)
        return str(sent["message_hash"])

    def mint(self, address: str, minor: int, asset: str = "USDT", comment: str = "") -> str:
        """Test tokens, there when this returns, and the owner told; the jetton wallet's address."""
        given = self.dev("mint", address=address, amount=minor, asset=asset, comment=comment)
        self.advance(4)
        return str(given["wallet"])

    def jetton_wallet(self, address: str, asset: str = "USDT") -> dict[str, Any]:
        """`wallet`, `balance` (minor units, text), `master`."""
        return dict(self.dev("jetton_wallet", address=address, asset=asset))

    def pay_jetton(self, name: str, to: str, minor: int, comment: str = "", asset: str = "USDT", **options: Any) -> str:
        """A real jetton transfer by a test wallet, arrived and told (`forward_amount` nanotons) when this returns."""
        body = {"from": name, "to": to, "amount": minor, "comment": comment, "asset": asset, **options}
        sent = self.dev("pay_jetton", **body)
        self.advance(5)
        return str(sent["message_hash"])

    def balance(self, address: str) -> int:
        return int(self.call("getAddressBalance", address=address))

    def transactions(self, address: str, limit: int = 100, **options: Any) -> list[dict[str, Any]]:
        """Newest first."""
        found: list[dict[str, Any]] = self.call("getTransactions", address=address, limit=limit, **options)
        return found

    def faults(self, **wanted: Any) -> dict[str, Any]:
        """Switch faults on; devnet/ton/faults.py lists them. The whole state afterwards."""
        state: dict[str, Any] = self.dev("faults", **wanted)
        return state

    def heal(self) -> None:
        """Switch every fault off."""
        self.dev("clear_faults")

    def fork(self, blocks: int, keep_sent: bool = False) -> int:
        """Undo the newest blocks; what was sent in since waits again if `keep_sent`, else it is lost."""
        return int(self.dev("fork", blocks=blocks, keep_sent=keep_sent)["seqno"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """(exit status, stderr) after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, errors


@pytest.fixture
def ton_chain() -> Iterator[TonChain]:
    """A TON of the test's own: in memory, blocks pass by `advance`, and by what its helpers do."""
    found = TonChain()
    yield found
    found.end(signal.SIGKILL)
