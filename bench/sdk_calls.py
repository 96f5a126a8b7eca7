"""(n) The RoboCompute SDK against bare httpx."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from solders.keypair import Keypair

from app.core import accounts
from bench.report import Part, Series, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack
from robocompute import RoboComputeClient

PATH = "/wallet/balance"
SIDES = ("bare httpx, a plain key", "the SDK, a plain key", "the SDK, an rc_ key and its wallet's signature")
HOW = (
    f"`GET {PATH}` of a whole stack, one call after the other on one kept connection: by `httpx.Client.get` with the key's "
    "header and `.json()`; by the SDK with the same key, which adds an answer with attributes, retries and limits; and by the "
    "SDK with a key that also needs the wallet's signature, which the SDK makes (ed25519, a nonce) and the hub checks and uses "
    "up. Processor time is this client's process's alone."
)


@dataclass(frozen=True)
class Load:
    """Of one call: from its begin to its end, and processor time of the client."""

    wall_ms: float
    cpu_ms: float


def measure(options: Options) -> Part:
    part = Part("n", "The RoboCompute SDK against bare httpx", HOW)
    count = options.size(1000, 20)
    with BenchStack() as stack:
        wallet = Keypair()
        with stack.database.unit_of_work() as session:
            account_id = accounts.ensure_identity(session, "solana", str(wallet.pubkey()))
            scopes = ["wallet:read"]
            plain, signed = (accounts.create_key(session, account_id, "bench", scopes, kind) for kind in ("ly_", "rc_live_"))
        base_url = f"{stack.api_url}/api/v1"
        with (
            httpx.Client(headers={"Authorization": f"Bearer {plain}"}) as bare,
            RoboComputeClient(plain, base_url=base_url) as unsigned,
            RoboComputeClient(signed, keypair=wallet, base_url=base_url) as client,
        ):
            calls = (lambda: bare.get(base_url + PATH).json(), unsigned.wallet.get_balance, client.wallet.get_balance)
            if any(call()["usdc_balance"] != "0.00" for call in calls):
                raise BenchError("the balance is not 0")
            sides = {name: _load(call, count) for name, call in zip(SIDES, calls, strict=True)}
            found = take_turns("(n) calls", options.rounds, sides)
    walls = {name: Series(name, "ms a call", tuple(load.wall_ms for load in loads), 2) for name, loads in found.items()}
    cpus = {
        name: Series(f"{name}, the client's processor time", "ms a call", tuple(load.cpu_ms for load in loads), 2)
        for name, loads in found.items()
    }
    part.series = [*walls.values(), *cpus.values()]
    bare_name, sdk_name, signed_name = SIDES
    for label, name in (("the SDK", sdk_name), ("the SDK, signing", signed_name)):
        wall, cpu = ratio_of_medians(walls[name], walls[bare_name]), ratio_of_medians(cpus[name], cpus[bare_name])
        shares = f"{wall:.2f} of a call's time, {cpu:.2f} of the client's processor time"
        part.notes.append(f"{label} ÷ bare httpx: {shares} (no target)")
    return part


def _load(call: Callable[[], object], count: int) -> Callable[[], Load]:
    def work() -> Load:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            call()
        return Load((time.perf_counter() - wall) * 1000 / count, (time.process_time() - cpu) * 1000 / count)

    return work
