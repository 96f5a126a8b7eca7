"""A market with something to pay out, a signer in a process of its own, and RPC nodes that lag, drop, hang and lie."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from solders.keypair import Keypair
from sqlalchemy import select

from app.adapters.chains.solana_payouts import SolanaPayouts
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.ton_payouts import TonPayouts
from app.adapters.chains.toncenter import Toncenter
from app.adapters.signer import SignerAway, SignerClient
from app.core import accounts, ledger, payout_addresses, payouts
from app.core.ledger import Party
from app.core.payout_addresses import AddressRules
from app.core.payouts import PayoutRules
from app.db import Database
from app.models.payouts import Payout, PayoutDifference, PayoutSigning
from app.values import clock, signatures, ton_address
from app.values.money import Money
from app.values.payouts import SOLANA, TON, read_minimums
from devnet.genesis import MINTS
from tests.factories.chain_nodes import Node
from tests.factories.stacks import wait_until
from tests.factories.ton import TonChain

ROOT = Path(__file__).parent.parent.parent
TON_VALID_SECONDS = 60
RULES = PayoutRules(read_minimums("0.01"), cool_off_hours=0)
ADDRESS_RULES = AddressRules(0, 300, {SOLANA: signatures.verify})
LOCAL_MINTS = {asset: str(mint) for asset, mint in MINTS.items()}
SIGNER_SETTINGS = {
    "SIGNER_QUIET_SECONDS": "0",
    "PAYOUT_OPENS_ACCOUNT_FROM": "0",
    "SOLANA_MINTS": ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items()),
}


def earner(database: Database, *earned: Money, address: bool = True, keypair: Keypair | None = None) -> tuple[uuid.UUID, str]:
    """An account with balances, known by its Solana wallet, which has signed for payouts; (account, wallet)."""
    keys = keypair or Keypair()
    wallet = str(keys.pubkey())
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, SOLANA, wallet)
        for money in earned:
            ledger.post(session, Party("issued"), Party("balance", account), money, f"test:{uuid.uuid4()}")
        if address:
            now = int(clock.now().timestamp() * 1000)
            text = payout_addresses.message(account, SOLANA, wallet, now)
            signature = str(keys.sign_message(text.encode()))
            payout_addresses.propose(session, account, SOLANA, wallet, now, signature, ADDRESS_RULES)
    return account, wallet


def order(database: Database, account: uuid.UUID, money: Money, reference: str | None = None) -> uuid.UUID:
    with database.unit_of_work() as session:
        return payouts.request(session, account, money, reference or f"test:{uuid.uuid4()}", RULES).id


def all_payouts(database: Database) -> list[Payout]:
    with database.unit_of_work() as session:
        return list(session.scalars(select(Payout).order_by(Payout.number)))


def all_signings(database: Database) -> list[PayoutSigning]:
    with database.unit_of_work() as session:
        return list(session.scalars(select(PayoutSigning).order_by(PayoutSigning.created_at)))


def all_differences(database: Database) -> list[PayoutDifference]:
    with database.unit_of_work() as session:
        return list(session.scalars(select(PayoutDifference)))


@dataclass
class SignerProcess:
    """`python -m app.signer` over a folder; `client` speaks to it."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> SignerClient:
        return SignerClient(self.home / "signer.sock")

    def start(self, **settings: str) -> None:
        environment = {**os.environ, **SIGNER_SETTINGS, **self.settings, **settings, "LIGHTYARD_HOME": str(self.home)}
        command = [sys.executable, "-m", "app.signer", "--make-keys"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "the signer")

    def _answers(self) -> bool:
        try:
            return bool(self.client.addresses())
        except SignerAway:
            assert self.process is not None and self.process.poll() is None, "the signer has ended"
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def signer_process(home: Path, **settings: str) -> Iterator[SignerProcess]:
    found = SignerProcess(home, settings)
    found.start()
    try:
        yield found
    finally:
        found.kill()


def fund_solana(node: Node, wallet: str, lamports: int = 10**12) -> None:
    """SOL and every token for a hot wallet, final."""
    node.rpc("requestAirdrop", wallet, lamports)
    for asset in LOCAL_MINTS:
        node.rpc("lightyardFaucet", wallet, 10**14, asset)
    node.pass_slots()


def solana_chain(*urls: str, timeout_seconds: float = 5, opens_from: Mapping[str, Money] | None = None) -> SolanaPayouts:
    return SolanaPayouts(urls, timeout_seconds, LOCAL_MINTS, 120, opens_from)


def solana_balance(node: Node, wallet: str, asset: str = "SOL") -> int:
    """Final minor units, read from the chain beside the adapter."""
    if asset == "SOL":
        return int(node.rpc("getBalance", wallet, {"commitment": "finalized"})["value"])
    chosen = {"mint": LOCAL_MINTS[asset]}
    rows = node.rpc("getTokenAccountsByOwner", wallet, chosen, {"encoding": "jsonParsed", "commitment": "finalized"})["value"]
    return sum(int(row["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"]) for row in rows)


@dataclass
class Mischief:
    """What stands between the hub and a node. Each number is of calls that it still happens to."""

    swallow: int = 0  # transactions that are passed on and never answered
    drop: int = 0  # transactions that are answered with a signature and not passed on
    refuse: int = 0  # transactions that are passed on and answered with an error
    fail: int = 0  # any calls that are answered with 503
    forget: bool = False  # every signature's status is null, and every history empty
    ahead: int = 0  # so much higher is the block height told
    invert: bool = False  # what landed is told as failed
    behind_seconds: int = 0  # so much older is every block told
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str) -> bool:
        with self.lock:
            left = getattr(self, name)
            if left:
                setattr(self, name, left - 1)
            return bool(left)


class _Between(BaseHTTPRequestHandler):
    node_url = ""
    mischief = Mischief()
    is_over = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        mischief, method = self.mischief, request["method"]
        if mischief.take("fail"):
            self.send_error(503)
            return
        if method == "sendTransaction" and mischief.take("drop"):
            self._say({"jsonrpc": "2.0", "id": 1, "result": "1" * 64})
            return
        answer = httpx.post(self.node_url, content=body, headers={"Content-Type": "application/json"}, timeout=20).json()
        if method == "sendTransaction" and mischief.take("swallow"):
            self.is_over.wait(10)
            return
        if method == "sendTransaction" and mischief.take("refuse"):
            answer = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "Node is unhealthy"}}
        self._say(self._twist(method, answer))

    def _twist(self, method: str, answer: dict[str, Any]) -> dict[str, Any]:
        mischief = self.mischief
        if "result" not in answer:
            return answer
        if mischief.forget and method == "getSignatureStatuses":
            answer["result"]["value"] = [None for _ in answer["result"]["value"]]
        if mischief.forget and method == "getSignaturesForAddress":
            answer["result"] = []
        if mischief.forget and method == "isBlockhashValid":
            answer["result"]["value"] = False
        if mischief.ahead and method == "getEpochInfo":
            answer["result"]["blockHeight"] += mischief.ahead
        if mischief.invert and method == "getSignatureStatuses":
            for row in answer["result"]["value"]:
                if row is not None:
                    row["err"] = {"InstructionError": [0, "Custom"]} if row["err"] is None else None
        if mischief.behind_seconds and method == "getBlockTime":
            answer["result"] -= mischief.behind_seconds
        return answer

    def _say(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def between(node_url: str, mischief: Mischief) -> Iterator[str]:
    """An RPC address that behaves as `mischief` says; the node behind it is real."""
    over = threading.Event()
    handler = type("BetweenOf", (_Between,), {"node_url": node_url, "mischief": mischief, "is_over": over})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def until(seconds: float) -> Iterator[None]:
    """Turns of a loop until the time is up; whoever is not done then has failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
    raise TimeoutError(f"not done in {seconds} s")


def ton_earner(database: Database, chain: TonChain, *earned: Money) -> tuple[uuid.UUID, str]:
    """An account with balances, known by a TON wallet that nobody has deployed yet; (account, raw address)."""
    address = ton_address.read(chain.wallet(uuid.uuid4().hex)).raw
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, TON, address)
        for money in earned:
            ledger.post(session, Party("issued"), Party("balance", account), money, f"test:{uuid.uuid4()}")
    return account, address


def ton_order(database: Database, account: uuid.UUID, address: str, money: Money) -> uuid.UUID:
    with database.unit_of_work() as session:
        return payouts.request(session, account, money, f"test:{uuid.uuid4()}", RULES, destination=address).id


def ton_payouts(*urls: str, timeout_seconds: float = 5) -> TonPayouts:
    gateways = [CheckedTonGateway(Toncenter((url,), timeout_seconds)) for url in urls]
    return TonPayouts(gateways, 120, TON_VALID_SECONDS)
