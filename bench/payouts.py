"""(m) Payouts per second, and calls of the chain's nodes for each."""

import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from solders.keypair import Keypair

from app.adapters.chains.solana_payouts import SolanaPayouts
from app.adapters.signer import SignerClient
from app.core import accounts, ledger, payout_addresses, payouts
from app.core.ledger import Party
from app.core.payout_addresses import AddressRules
from app.core.payouts import Filter, PayoutRules
from app.flows import payouts as flow
from app.values import clock, signatures
from app.values.money import Money
from app.values.payouts import BATCH, SOLANA, read_minimums
from app.values.states import PayoutState
from bench.report import ROOT, Part, Series
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack
from devnet.genesis import MINTS

EACH = Money(20_000_000, "USDC")
PATIENCE_SECONDS, LOOK_SECONDS = 300.0, 0.005
SWEEP_SECONDS = 2.0  # as the hub's beat has it
SLOTS_MS_AND_PAUSES = {
    f"swept every {SWEEP_SECONDS:.0f} s, final after 0.8 s": (25, SWEEP_SECONDS),
    "swept at once, final after 32 ms": (1, LOOK_SECONDS),
}
LOCAL_MINTS = {asset: str(mint) for asset, mint in MINTS.items()}
SETTINGS = {
    "SIGNER_QUIET_SECONDS": "0",
    "PAYOUT_OPENS_ACCOUNT_FROM": "0",
    "SOLANA_MINTS": ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items()),
}
OPEN = (PayoutState.CREATED, PayoutState.SIGNED, PayoutState.SENT, PayoutState.EXPIRED)
RULES = PayoutRules(read_minimums("0.01"), cool_off_hours=0)
HOW = (
    f"Providers of a wallet each are owed {EACH} {EACH.asset} and order it (`core.payouts.request`, one commit each). Then "
    "`flows.payouts` brings all of them onto a local chain, in this process, sweep after sweep: the real signer signs and "
    "journals, every transaction is stored before it is sent, and nothing new is begun with the hot wallet before the last "
    f"transaction is final; one holds up to {BATCH} payouts. So the chain's time to finality is most of a payout's time, and it "
    "is told beside the figures: the mainnet's is about 13 s. Each payee's token account is opened on the way. Calls are those "
    "of the JSON-RPC that one configured node gets."
)


@dataclass(frozen=True)
class Turn:
    ordered_per_second: float
    paid_per_second: float
    calls: Counter[str]
    count: int


class CountingSolana(SolanaPayouts):
    """The hub's own door to Solana, which counts what it asks."""

    def __init__(self, url: str) -> None:
        super().__init__((url,), 30, LOCAL_MINTS, 120)
        self.calls: Counter[str] = Counter()

    def _ask(self, url: str, method: str, *params: Any) -> Any:
        self.calls[method] += 1
        return super()._ask(url, method, *params)


def measure(options: Options) -> Part:
    part = Part("m", "Payouts per second, and calls of the chain's nodes for each", HOW)
    count = options.size(40, 4)
    found: dict[str, list[Turn]] = {}
    for name, (slot_ms, pause_seconds) in SLOTS_MS_AND_PAUSES.items():  # one by one: a hot wallet has one chain's history
        with _chain(slot_ms) as url, BenchStack(0, SOLANA_RPC_URL=url, **SETTINGS) as stack:
            stack.pause("worker", "beat")  # their own sweeps would share the work
            turn = partial(_Desk(stack, url, pause_seconds).turn, count)
            found |= take_turns(f"(m) {name}", options.turns(3), {name: turn})
    for name, turns in found.items():
        part.series.append(Series(f"payouts a second, {name}", "/s", tuple(turn.paid_per_second for turn in turns), 1))
        each = tuple(turn.calls.total() / turn.count for turn in turns)
        part.series.append(Series(f"calls a payout, {name}", "", each, 2))
    ordered = tuple(turn.ordered_per_second for turns in found.values() for turn in turns)
    part.series.append(Series("payouts ordered a second", "/s", ordered, 0))
    calls = sum((turn.calls for turns in found.values() for turn in turns), Counter[str]())
    paid = sum(turn.count for turns in found.values() for turn in turns)
    told = ", ".join(f"{method} {number / paid:.2f}" for method, number in calls.most_common())
    part.notes.append(f"calls a payout by method, over all turns: {told}")
    return part


@contextmanager
def _chain(slot_ms: int) -> Iterator[str]:
    command = [sys.executable, "-m", "devnet", "--port", "0", "--slot-ms", str(slot_ms), "--blockhash-blocks", "60000"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("devnet ready http://"):
            raise BenchError(f"the local chain said {line!r}")
        yield line.split()[2]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


class _Desk:
    """A hot wallet with money on one chain, and providers who are owed something."""

    def __init__(self, stack: BenchStack, url: str, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._database, self._signer = stack.database, SignerClient(stack.settings().signer_socket_path)
        self._chain = CountingSolana(url)
        wallet = self._signer.addresses()[SOLANA]
        for method, params in (("requestAirdrop", [wallet, 10**13]), ("lightyardFaucet", [wallet, 10**14, EACH.asset])):
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = httpx.post(url, json=body, timeout=30).raise_for_status().json()
            if "error" in answer:
                raise BenchError(f"{method}: {answer['error']}")
        self._wait_for_money(wallet)

    def _wait_for_money(self, wallet: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(self._chain.funds(wallet, asset) for asset in ("SOL", EACH.asset)):
            if time.monotonic() > deadline:
                raise BenchError("the hot wallet's money did not become final")
            time.sleep(LOOK_SECONDS)  # the chain tells nobody of its slots

    def turn(self, count: int) -> Turn:
        owed = [self._earn() for _ in range(count)]
        began = time.perf_counter()
        for account_id in owed:
            with self._database.unit_of_work() as session:
                payouts.request(session, account_id, EACH, f"bench:{uuid.uuid4()}", RULES)
        ordered = count / (time.perf_counter() - began)
        self._chain.calls.clear()
        began = time.perf_counter()
        self._pay_all()
        return Turn(ordered, count / (time.perf_counter() - began), Counter(self._chain.calls), count)

    def _earn(self) -> uuid.UUID:
        """A provider whose wallet has signed for its payouts."""
        keys = Keypair()
        wallet, now = str(keys.pubkey()), int(clock.now().timestamp() * 1000)
        with self._database.unit_of_work() as session:
            account_id = accounts.ensure_identity(session, SOLANA, wallet)
            ledger.post(session, Party("issued"), Party("balance", account_id), EACH, f"bench:{account_id}")
            signature = str(keys.sign_message(payout_addresses.message(account_id, SOLANA, wallet, now).encode()))
            rules = AddressRules(0, 300, {SOLANA: signatures.verify})
            payout_addresses.propose(session, account_id, SOLANA, wallet, now, signature, rules)
        return account_id

    def _pay_all(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._are_open():
            flow.advance(self._database, self._chain, self._signer)
            if time.monotonic() > deadline:
                raise BenchError(f"payouts were not all final in {PATIENCE_SECONDS:.0f} s")
            time.sleep(self._pause_seconds)

    def _are_open(self) -> bool:
        with self._database.read_only() as session:
            return bool(payouts.listed(session, Filter(states=OPEN), 1))
