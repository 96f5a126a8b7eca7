"""Payees' addresses are read on from a cursor; memos of ours are shown for their payments, whatever else is there."""

from datetime import timedelta

from sqlalchemy import select, update

from app.core import chain_cursors, discovery
from app.core.payments import Decision, decide, give_up
from app.db import Database
from app.errors import ChainUnreadable
from app.flows import payments as flows
from app.models.payments import ChainCursor, ChainTransaction, Payment
from app.values import clock
from tests.factories.market import Marketplace


class PagedChain:
    """A chain's list of an address, as long as a test needs it; what `getSignaturesForAddress` gives, page by page."""

    def __init__(self, rows: list[tuple[str, str | None]]) -> None:
        self.rows, self.calls = rows, 0

    def sighting(self, signature: str) -> None:
        return None

    def signatures_for(self, address: str, until: str | None = None, before: str | None = None) -> list:
        self.calls += 1
        names = [name for name, _ in self.rows]
        first = names.index(before) + 1 if before else 0
        last = names.index(until) if until else len(names)
        return self.rows[first:last][:1000]


def memo_of(database: Database, payment_id) -> str:
    with database.unit_of_work() as session:
        return session.get_one(Payment, payment_id).memo


def shown(database: Database) -> list[tuple[str, str]]:
    with database.unit_of_work() as session:
        rows = session.execute(select(ChainTransaction.signature, ChainTransaction.state).order_by(ChainTransaction.signature))
        return [(row[0], row[1]) for row in rows]


def let_time_pass(database: Database, seconds: int = 3) -> None:
    with database.unit_of_work() as session:
        session.execute(update(ChainCursor).values(read_at=ChainCursor.read_at - timedelta(seconds=seconds)))


def test_a_payment_that_nobody_announced_is_found_among_thousands(database: Database) -> None:
    market = Marketplace(database)
    _, payment_id = market.unpaid_job()
    with database.unit_of_work() as session:
        session.get_one(Payment, payment_id).memo = f"rayment:{payment_id}"
    chain = PagedChain([("old", None)])
    assert flows.find_unannounced(database, chain) == 0
    assert flows.find_unannounced(database, chain) == 0, "it was read a moment ago"
    noise = [(f"noise{number}", f"[3] x{number}") for number in range(2500)]
    chain.rows = [*noise[:2200], ("ours", f"[44] {memo_of(database, payment_id)}; [1] y"), *noise[2200:], *chain.rows]
    let_time_pass(database)
    assert flows.find_unannounced(database, chain) == 1
    assert shown(database) == [("ours", "pending")]
    chain.rows = [("newer", None), *chain.rows]
    calls = chain.calls
    let_time_pass(database)
    assert (flows.find_unannounced(database, chain), chain.calls) == (0, calls + 1)


def test_a_quiet_payee_is_read_once_a_minute_and_forgotten_after_a_week(database: Database) -> None:
    market = Marketplace(database)
    market.unpaid_job()

    def due_when(asked: timedelta, read: timedelta) -> bool:
        with database.unit_of_work() as session:
            session.execute(update(ChainCursor).values(asked_at=clock.now() - asked, read_at=clock.now() - read))
            return bool(chain_cursors.due(session))

    assert due_when(timedelta(minutes=1), timedelta(seconds=3))
    assert not due_when(timedelta(minutes=1), timedelta(seconds=1))
    assert not due_when(timedelta(hours=2), timedelta(seconds=30))
    assert due_when(timedelta(hours=2), timedelta(seconds=61))
    assert not due_when(timedelta(days=8), timedelta(hours=1))


def test_silence_is_no_proof(database: Database) -> None:
    market = Marketplace(database)
    _, payment_id = market.unpaid_job()
    with database.unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        payment.memo = f"rayment:{payment_id}"
        asked = discovery.payments.present(session, payment, "late").id
    with database.unit_of_work() as session:
        assert give_up(session, [asked], older_than_seconds=-1) == 1
    assert shown(database) == [("late", "refused")]
    chain = PagedChain([("late", f"[44] rayment:{payment_id}")])
    assert flows.find_unannounced(database, chain) == 0
    assert shown(database) == [("late", "pending")]


class HalfReadableChain(PagedChain):
    """A node that answers one address with an error of its own."""

    def __init__(self, rows: list[tuple[str, str | None]], unreadable: str) -> None:
        super().__init__(rows)
        self._unreadable = unreadable

    def signatures_for(self, address: str, until: str | None = None, before: str | None = None) -> list:
        if address == self._unreadable:
            raise ChainUnreadable("no")
        return super().signatures_for(address, until, before)


def test_an_address_that_cannot_be_read_keeps_no_other_from_being_read(database: Database) -> None:
    bad, good = Marketplace(database), Marketplace(database)
    bad.unpaid_job()
    _, payment_id = good.unpaid_job()
    with database.unit_of_work() as session:
        session.get_one(Payment, payment_id).memo = f"rayment:{payment_id}"
    chain = HalfReadableChain([("ours", f"[44] rayment:{payment_id}")], unreadable=bad.wallet)
    assert flows.find_unannounced(database, chain) == 1
    with database.unit_of_work() as session:
        cursors = {row.address: row.signature for row in session.scalars(select(ChainCursor))}
    assert cursors == {bad.wallet: None, good.wallet: "ours"}


def test_two_memos_of_ours_are_owed_back_once(database: Database) -> None:
    market = Marketplace(database)
    memos = []
    for _ in range(2):
        _, payment_id = market.unpaid_job()
        with database.unit_of_work() as session:
            session.get_one(Payment, payment_id).memo = f"rayment:{payment_id}"
        memos.append(f"rayment:{payment_id}")
    chain = PagedChain([("both", "; ".join(f"[44] {memo}" for memo in memos))])
    assert flows.find_unannounced(database, chain) == 2
    with database.unit_of_work() as session:
        first = session.scalars(select(ChainTransaction)).first()
        assert first is not None
        decide(session, first.id, Decision("refundable", "memo_twice", None, 5, "c"))
    with database.unit_of_work() as session:
        session.execute(update(ChainCursor).values(signature=None))
        session.delete(session.scalars(select(ChainTransaction).where(ChainTransaction.state == "pending")).one())
    let_time_pass(database)
    assert flows.find_unannounced(database, chain) == 0
