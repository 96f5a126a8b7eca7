"""Ten minutes of a whole marketplace: two API processes, two hub workers, three nodes (Celery, relay, polling), clients of two
dialects and payouts on the local chain, while something is always being killed with -9. Nothing is lost, nothing is doubled, the
books balance, and each payout left exactly once. Prints its figures."""

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.adapters.signer import SignerClient
from app.config import Settings
from app.core import audit, fleet, payout_reconciliation, statements
from app.db import Database, make_engine
from app.errors import Unavailable
from app.values.money import Money
from devnet.payer import Payer
from tests.chaos.guests import joined_nodes
from tests.chaos.killing import WEIGHTS, kill_until
from tests.chaos.renders import buy, problems_of
from tests.chaos.renters import GRANTED, Renter
from tests.e2e.conftest import running_stack
from tests.factories.payout_worlds import SolanaWorld
from tests.factories.payouts import Mischief, all_payouts, earner
from tests.factories.stacks import wait_until

SECONDS = int(os.environ.get("CHAOS_SOAK_SECONDS", "600"))
ARTISTS, RENTERS, EARNING_EVERY_SECONDS, DRAIN_SECONDS = 2, 2, 4.0, 300
EARNED = Money(20_000_000, "SOL")
SETTINGS = {
    "NODES": "1", "API_WORKERS": "2", "HUB_WORKERS": "2", "LEASE_SECONDS": "10", "MAX_ATTEMPTS": "1000", "MAX_FAILURES": "100",
}  # fmt: skip
KILLED = {**WEIGHTS, "signer": 1, "evm": 1, "ton": 1}
OF_THE_STACK, OF_THE_GUESTS = 8, 2  # how often each is chosen

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(SECONDS + 1200)]


class Soak:
    """What was ordered, and what went wrong on the way."""

    def __init__(self, endpoints: dict[str, str], scene: bytes) -> None:
        self.endpoints, self.scene = endpoints, scene
        self.database = Database(make_engine(Settings(database_url=endpoints["database_url"])))
        self.renters = [Renter(endpoints, self.database) for _ in range(RENTERS)]
        self.renders: list[tuple[str, str]] = []
        self.errors: list[str] = []

    def run(self, homes: dict[Path, int], chance: random.Random) -> Counter[str]:
        until = time.monotonic() + SECONDS
        buyer = (self.endpoints, self.scene, until, self.renders, self.errors)
        threads = [threading.Thread(target=buy, args=buyer) for _ in range(ARTISTS)]
        threads += [threading.Thread(target=renter.rent, args=(until, random.Random(chance.random()))) for renter in self.renters]
        threads.append(threading.Thread(target=self._earn, args=(until,)))
        for thread in threads:
            thread.start()
        kills = kill_until(until, homes, chance, KILLED)
        for thread in threads:
            thread.join(DRAIN_SECONDS + 120)
        assert not any(thread.is_alive() for thread in threads)
        self.errors += [error for renter in self.renters for error in renter.errors]
        return kills

    def _earn(self, until: float) -> None:
        """Somebody new earns something, which is due at once. A database that is away was not told, or was: the books say."""
        while time.monotonic() < until:
            try:
                earner(self.database, EARNED)
            except (Unavailable, psycopg.Error):
                pass  # killed just now; the next one earns
            time.sleep(EARNING_EVERY_SECONDS)  # the pace of the earnings

    def drain(self) -> None:
        """Until nothing is on its way any more."""

        def is_quiet() -> bool:
            try:
                with psycopg.connect(self.endpoints["database_url"], connect_timeout=5) as connection:
                    row = connection.execute(
                        "SELECT (SELECT count(*) FROM payouts WHERE state NOT IN ('confirmed', 'cancelled'))"
                        " + (SELECT count(*) FROM jobs WHERE state = 'open' AND payment_state = 'confirmed')"
                        " + (SELECT count(*) FROM outbox_messages) + (SELECT count(*) FROM ledger_accounts l"
                        " JOIN payout_addresses p ON p.account_id = l.owner_id WHERE l.kind = 'balance' AND l.balance_minor > 0)"
                    ).fetchone()
            except psycopg.Error:
                return False
            return row == (0,)

        wait_until(is_quiet, "every job ended and every payout confirmed", DRAIN_SECONDS)

    def figures(self, home: Path) -> dict[str, Any]:
        lost, doubled = list[str](), list[str]()
        with psycopg.connect(self.endpoints["database_url"]) as connection:
            for job, signature in self.renders:
                found = problems_of(connection, job, signature)
                lost, doubled = lost + [*filter(None, [found.get("lost")])], doubled + [*filter(None, [found.get("doubled")])]
            for renter in self.renters:
                told = renter.problems(connection)
                lost, doubled = lost + told["lost"], doubled + told["doubled"]
        return {"lost": lost, "doubled": doubled, "imbalance": self._imbalance(), "payouts": self._payouts(home)}

    def _imbalance(self) -> list[str]:
        with self.database.unit_of_work() as session:
            found = [*audit.differences(session), *payout_reconciliation.ledger_differences(session)]
            sums: Counter[str] = Counter()
            for row in statements.totals(session):
                sums[row["asset"]] += int(row["balance_minor"])
            found += [f"{asset} sums up to {minor}" for asset, minor in sums.items() if minor]
            for renter in self.renters:
                (has,) = [row for row in statements.balances(session, statements.Meant(renter.account_id, "balance"), True)]
                wanted = Money(int(GRANTED) * 10_000 - renter.spent() * 10_000, "CREDIT")
                found += [] if has["balance"] == str(wanted) else [f"{renter.email} has {has['balance']}, not {wanted}"]
        return found

    def _payouts(self, home: Path) -> dict[str, Any]:
        """Held against the chain itself: memos of the hot wallet's final transactions, and what arrived."""
        url = self.endpoints["solana_rpc_url"]
        world = SolanaWorld(Payer(url), Mischief(), url)  # type: ignore[arg-type]  of a node it only needs `rpc`
        rows = [payout for payout in all_payouts(self.database) if payout.chain == "solana"]
        wallet = SignerClient(home / "signer.sock").addresses()["solana"]
        left = Counter(world.left(wallet, {str(payout.id) for payout in rows}))
        arrived = [payout for payout in rows if world.balance(payout.destination) != payout.amount_minor]
        return {
            "ordered": len(rows),
            "not once": [str(payout.id) for payout in rows if left[str(payout.id)] != 1],
            "other amounts": [str(payout.id) for payout in arrived],
        }


def test_a_marketplace_is_killed_for_minutes_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, cube: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path_factory.mktemp("soak")
    chance = random.Random(os.environ.get("CHAOS_SEED", "1"))
    with running_stack(home, **SETTINGS) as endpoints, joined_nodes(endpoints, home.with_name(f"{home.name}-guests")) as guests:
        soak = Soak(endpoints, cube)
        wait_for_nodes(soak.database)
        with capsys.disabled():
            kills = soak.run({home: OF_THE_STACK, guests: OF_THE_GUESTS}, chance)
        began = time.monotonic()
        soak.drain()
        found = soak.figures(home)
        dispatched = sum(len(renter.jobs) for renter in soak.renters)
        with capsys.disabled():
            print(f"\nsoak of {SECONDS} s, drained in {time.monotonic() - began:.0f} s: {kills.total()} kills {dict(kills)}")
            rendered = len(soak.renders)
            print(f"jobs {rendered + dispatched} ({rendered} renders paid on the chain, {dispatched} dispatched),")
            print(f"lost {len(found['lost'])}, doubled {len(found['doubled'])}, imbalance {len(found['imbalance'])},")
            print(f"payouts {found['payouts']['ordered']}, not exactly once on the chain {len(found['payouts']['not once'])}")
        soak.database.engine.dispose()
    assert soak.errors == []
    assert (found["lost"], found["doubled"], found["imbalance"]) == ([], [], [])
    assert (found["payouts"]["not once"], found["payouts"]["other amounts"]) == ([], [])
    assert kills.total() > 0 and len(soak.renders) >= ARTISTS and dispatched >= RENTERS and found["payouts"]["ordered"] > 0


def wait_for_nodes(database: Database) -> None:
    """All three are there before anything is killed."""

    def are_there() -> bool:
        with database.unit_of_work() as session:
            return [row["status"] for row in fleet.listed(session, 90)] == ["HEALTHY"] * 3

    wait_until(are_there, "three healthy nodes", 120)
