"""Local EVM chains as processes of their own, spoken to over their ports only."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.adapters.chains.evm import EvmGateway
from app.config import DEVELOPMENT_ANCHOR_KEY
from app.stack.ports import free_port
from devnet.evm import program
from tests.factories.missing import go_without

START_SECONDS, INSTALL_SECONDS = 40, 120


def anvil() -> Path:
    """The pinned anvil, installed by npm on first use."""
    found = program.find_anvil()
    if found is None:
        npm = shutil.which("npm")
        if npm is None:
            go_without("npm is not installed, so nothing was tried on anvil")
        assert npm is not None
        done = subprocess.run(
            [npm, "ci", "--no-progress"], cwd=program.FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
        if done.returncode:
            go_without(f"npm could not install anvil, so nothing was tried on it: {done.stderr[-600:]}")
        found = program.find_anvil()
    assert found is not None
    return found


class EvmChain:
    """One running chain; `rpc` raises on an error."""

    def __init__(self, command: list[str], port: int) -> None:
        self.url, self._command = f"http://127.0.0.1:{port}", command
        self.http = httpx.Client(timeout=20)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.chain_id = int(self.rpc("eth_chainId"), 16)
                return
            except httpx.HTTPError:
                assert self.process.poll() is None and time.monotonic() < deadline, "the chain did not start"
                time.sleep(0.02)  # a server that boots tells nobody: ask again

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return self.http.post(self.url, json=call).json()  # type: ignore[no-any-return]

    def rpc(self, method: str, *params: Any) -> Any:
        body = self.ask(method, *params)
        assert "error" not in body, body["error"]
        return body["result"]

    def gateway(self, **options: Any) -> EvmGateway:
        return EvmGateway((self.url,), options.pop("timeout_seconds", 10), DEVELOPMENT_ANCHOR_KEY, **options)

    def mine(self, blocks: int = 1) -> None:
        """anvil only."""
        self.rpc("anvil_mine", hex(blocks))

    def nonce(self) -> int:
        """How many transactions of the anchoring address are in blocks."""
        return int(self.rpc("eth_getTransactionCount", self.gateway().sender, "latest"), 16)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def any_chain() -> Iterator[EvmChain]:
    """Whatever `lightyard up` would start here."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        program.prepare(Path(folder))
        command = program.command(port, Path(folder))
        if command is None:
            go_without("neither anvil nor eth-tester is installed (`make evm-chain`), so nothing was anchored")
        assert command is not None
        chain = EvmChain(command, port)
        try:
            yield chain
        finally:
            chain.end()


@contextmanager
def anvil_chain(*options: str) -> Iterator[EvmChain]:
    """An anvil without a memory."""
    port = free_port()
    chain = EvmChain([str(anvil()), "--host", "127.0.0.1", "--port", str(port), "--quiet", *options], port)
    try:
        yield chain
    finally:
        chain.end()
