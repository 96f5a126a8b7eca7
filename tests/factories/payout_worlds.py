"""One market to pay out from, on either chain: what crash tests need of a chain, in the same words."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from sqlalchemy import update

from app.adapters.chains.ton_payouts import MARGIN_SECONDS
from app.core import audit, ledger, payout_addresses, payout_reconciliation
from app.core.ledger import Party
from app.db import Database
from app.flows import payouts
from app.flows.payouts import PayoutChain
from app.models.accounts import Identity
from app.values import clock, ton_address
from app.values.money import Money
from app.values.payouts import SOLANA, TON
from tests.factories.chain_nodes import Node
from tests.factories.payouts import (
    ADDRESS_RULES,
    RULES,
    TON_VALID_SECONDS,
    Mischief,
    SignerProcess,
    all_payouts,
    between,
    earner,
    fund_solana,
    order,
    solana_balance,
    solana_chain,
    ton_earner,
    ton_order,
    ton_payouts,
    until,
)
from tests.factories.ton import TonChain

SOL, TWO_TON = Money(50_000_000, "SOL"), Money(2_000_000_000, "TON")


class World(Protocol):
    """A chain with a hot wallet. `urls` are the addresses that a payer is given; mischief stands before them."""

    chain: str
    money: Money

    @property
    def urls(self) -> list[str]: ...

    def adapter(self) -> PayoutChain: ...

    def prepare(self, wallet: str) -> None: ...

    def owe(self, database: Database) -> str: ...

    def earn(self, database: Database) -> str: ...

    def pass_time(self) -> None: ...

    def expire(self) -> None: ...

    def lose(self, count: int) -> None: ...

    def trouble(self, kind: int) -> None: ...

    def heal(self) -> None: ...

    def balance(self, destination: str) -> int: ...

    def left(self, wallet: str, memos: set[str]) -> list[str]: ...


class SolanaWorld:
    chain, money = SOLANA, SOL

    def __init__(self, node: Node, mischief: Mischief, url: str) -> None:
        self.node, self.mischief, self.url = node, mischief, url

    @property
    def urls(self) -> list[str]:
        return [self.node.url, self.url]

    def adapter(self) -> PayoutChain:
        return solana_chain(*self.urls, timeout_seconds=2)

    def prepare(self, wallet: str) -> None:
        fund_solana(self.node, wallet)

    def owe(self, database: Database) -> str:
        account, destination = earner(database, self.money)
        order(database, account, self.money)
        return destination

    def earn(self, database: Database) -> str:
        """A balance that is due: its owner's address is automatic."""
        return earner(database, self.money)[1]

    def pass_time(self) -> None:
        self.node.pass_slots(32)

    def expire(self) -> None:
        self.node.pass_slots(400)

    def lose(self, count: int) -> None:
        self.node.rpc("svm_dropTransactions", count)

    def trouble(self, kind: int) -> None:
        """One of two nodes goes wrong in one of these ways; the other one is honest."""
        names = ("swallow", "drop", "refuse", "fail", "forget", "ahead", "invert", "behind_seconds")
        name = names[kind % len(names)]
        setattr(self.mischief, name, {"forget": True, "invert": True, "ahead": 10_000, "behind_seconds": 4000}.get(name, 1))

    def heal(self) -> None:
        self.lose(0)
        for name, value in vars(Mischief()).items():
            if name != "lock":
                setattr(self.mischief, name, value)

    def balance(self, destination: str) -> int:
        return solana_balance(self.node, destination)

    def left(self, wallet: str, memos: set[str]) -> list[str]:
        """Memos of final transactions without error that name the wallet and one of these payouts, one for each."""
        rows = self.node.rpc("getSignaturesForAddress", wallet, {"limit": 1000, "commitment": "finalized"})
        told = [part.split("] ", 1)[1] for row in rows if row["memo"] and not row["err"] for part in row["memo"].split("; ")]
        return [memo for memo in told if memo in memos]


class TonWorld:
    chain, money = TON, TWO_TON

    def __init__(self, ton: TonChain) -> None:
        self.ton = ton

    @property
    def urls(self) -> list[str]:
        return [self.ton.api_url]

    def adapter(self) -> PayoutChain:
        return ton_payouts(*self.urls, timeout_seconds=2)

    def prepare(self, wallet: str) -> None:
        self.ton.fund(wallet, 1000 * TWO_TON.minor)

    def owe(self, database: Database) -> str:
        account, address = ton_earner(database, self.ton, self.money)
        ton_order(database, account, address, self.money)
        return address

    def earn(self, database: Database) -> str:
        account, address = ton_earner(database, self.ton, self.money)
        with database.unit_of_work() as session:
            session.execute(update(Identity).where(Identity.account_id == account).values(verified_at=clock.now()))
            payout_addresses.propose_own(session, account, TON, address, ADDRESS_RULES)
        return address

    def pass_time(self) -> None:
        self.ton.advance(3, seconds=1)

    def expire(self) -> None:
        self.ton.advance(2, seconds=TON_VALID_SECONDS + MARGIN_SECONDS + 5)

    def lose(self, count: int) -> None:
        self.ton.faults(lose=count)

    def trouble(self, kind: int) -> None:
        accepted = {"methods": ["sendBoc"], "times": 1, "after_accepting": True}
        faults: tuple[dict, ...] = (
            {"breaks": "silence", "silence_seconds": 3.0, **accepted},
            {"lose": 1},
            {"breaks": "error", **accepted},
            {"breaks": "garbage", "times": 1},
            {"hide_last": 1},
            {"lag_blocks": 2},
            {"claim_hash": "A" * 43 + "="},
            {"breaks": "close", **accepted},
        )
        self.ton.faults(**faults[kind % len(faults)])

    def heal(self) -> None:
        self.ton.heal()

    def balance(self, destination: str) -> int:
        return self.ton.balance(destination)

    def left(self, wallet: str, memos: set[str]) -> list[str]:
        raw = ton_address.read(wallet).friendly()
        rows = self.ton.transactions(raw)
        return [message["message"] for row in rows for message in row["out_msgs"] if message["message"] in memos]


@contextmanager
def world_of(chain: str) -> Iterator[World]:
    """A chain of its own, in memory."""
    with ExitStack() as stack:
        if chain == SOLANA:
            node, mischief = Node("--slot-ms", "0"), Mischief()
            stack.callback(node.end)
            yield SolanaWorld(node, mischief, stack.enter_context(between(node.url, mischief)))
        else:
            ton = TonChain()
            stack.callback(ton.end)
            yield TonWorld(ton)


def finish(database: Database, world: World, signer: SignerProcess) -> None:
    """Sweeps until nothing is open; time passes between them."""
    for _ in until(90):
        payouts.open_due(database, RULES)
        payouts.advance_if_possible(database, world.adapter(), signer.client)
        found = all_payouts(database)
        if found and all(payout.state == "confirmed" for payout in found):
            payouts.advance_if_possible(database, world.adapter(), signer.client)
            return
        world.pass_time()


def assert_paid_once(database: Database, world: World, signer: SignerProcess, destinations: list[str]) -> None:
    """Each payout left the wallet exactly once, each destination has what it was owed, chain and ledger agree."""
    found = all_payouts(database)
    memos = {str(payout.id) for payout in found}
    assert sorted(world.left(signer.client.addresses()[world.chain], memos)) == sorted(memos)
    assert [world.balance(destination) for destination in destinations] == [world.money.minor] * len(destinations)
    with database.unit_of_work() as session:
        booked = ledger.balance(session, Party("chain"), world.money.asset).minor
        assert booked == sum(world.balance(destination) for destination in destinations)
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []
        assert payout_reconciliation.differences(session) == []


