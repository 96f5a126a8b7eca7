"""(e) Payments verified on the local chain and booked, against bare ed25519."""

import time
import uuid

from nacl.signing import SigningKey
from tqdm import tqdm

from app.adapters.chains.solana import SolanaGateway
from app.core import jobs, payments
from app.db import Database
from app.flows import payments as payment_flows
from bench import seeding
from bench.report import Part, Series, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack
from devnet.payer import Payer

HOW = (
    "One process verifies shown transactions one after the other, as the hub's task does: read what is expected, ask "
    "the local chain's JSON-RPC, judge instructions, balances and memo, book the payment in the ledger and queue the "
    "job. Against it: one ed25519 signature verified with PyNaCl. What the local chain itself costs is inside the "
    "first and not in the second."
)


def measure(options: Options) -> Part:
    count, bare = options.size(60, 8), options.size(5000, 500)
    part = Part("e", "Payment verifications against bare ed25519", HOW)
    with BenchStack() as stack:
        stack.pause("worker", "beat")  # the hub's own sweeps would decide them first
        chain = SolanaGateway((stack.endpoints["solana_rpc_url"],), 10)
        payer = Payer(stack.endpoints["solana_rpc_url"])
        payer.airdrop(10**12)
        shown = _pay(stack, payer, count * options.rounds)

        def verify() -> float:
            mine = [shown.pop() for _ in range(count)]
            started = time.perf_counter()
            states = [payment_flows.verify(stack.database, chain, item) for item in mine]
            seconds = time.perf_counter() - started
            if set(states) != {"accepted"}:
                raise BenchError(f"payments were not accepted: {sorted(set(states))}")
            return count / seconds

        found = take_turns("(e) verifications per second", options.rounds, {"hub": verify, "ed25519": lambda: _bare(bare)})
        asked = _time_of_chain(chain, stack.database)
    hub = Series("payments verified and booked", "/s", tuple(found["hub"]), 1)
    signatures = Series("ed25519 signatures verified", "/s", tuple(found["ed25519"]))
    part.series = [hub, signatures]
    share = ratio_of_medians(hub, signatures)
    part.notes = [f"A payment costs as much as {1 / share:,.0f} signatures (no target).", asked]
    return part


def _pay(stack: BenchStack, payer: Payer, count: int) -> list[uuid.UUID]:
    """Jobs that are ordered and really paid on the chain, each transaction shown to the hub."""
    scene_id = seeding.make_scene(stack.database)
    shown, last = [], ""
    for _ in tqdm(range(count), desc="(e) paying on the chain", unit="payment", leave=False):
        with stack.database.unit_of_work() as session:
            provider = seeding.local_provider(session)
            job = jobs.submit(session, seeding.order(provider, scene_id, 1))
            payment = payments.ask(session, job, provider.wallet, "solana", "bench:")
        last = payer.pay(payment.pay_to, payment.amount_minor, payment.memo)
        with stack.database.unit_of_work() as session:
            shown.append(payments.present(session, payment, last).id)
    payer.wait_final(last)
    return shown


def _bare(count: int) -> float:
    key, message = SigningKey.generate(), b"x" * 200
    signature = key.sign(message).signature
    started = time.perf_counter()
    for _ in range(count):
        key.verify_key.verify(message, signature)
    return count / (time.perf_counter() - started)


def _time_of_chain(chain: SolanaGateway, database: Database) -> str:
    """How much of a verification is the chain's answer, from one transaction asked for again."""
    with database.unit_of_work() as session:
        signature = seeding.any_signature(session)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        chain.sighting(signature)
        times.append((time.perf_counter() - started) * 1000)
    return f"Of each, the local chain's answer takes {sorted(times)[len(times) // 2]:.1f} ms."
