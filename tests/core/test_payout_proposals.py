"""Earnings become proposals, period by period, and each proposal one payout."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from app.core import audit, ledger, participants, payout_proposals, worker_earnings
from app.core.ledger import Party
from app.core.payout_proposals import Terms
from app.core.payouts import PayoutRules
from app.db import Database
from app.errors import Conflict, NotFound, Refused
from app.flows import proposals
from app.models.payout_proposals import PayoutProposal
from app.models.payouts import Payout
from app.models.workers import CocoonWorker, WorkerHour, WorkerPastHour, WorkerState
from app.values import clock
from app.values.money import Money

WEEK = timedelta(days=7)
TON = 10**9
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
RULES = PayoutRules({"TON": Money(TON // 100, "TON")}, 24)
TERMS = Terms(WEEK, Decimal(95), Money(TON // 100, "TON"))


class Pool:
    """A participant with workers that earned something."""

    def __init__(self, database: Database, joined: datetime = MONDAY) -> None:
        self.database, self.wallet = database, f"0:{secrets.token_hex(32)}"
        with database.unit_of_work() as session:
            self.id = participants.create(session, self.wallet, {"username": "miner"})
            row = participants.get(session, self.id)
            row.created_at, self.account_id = joined, row.account_id

    def worker(self, coefficient: int | None = None, said: int | None = None, name: str = "w") -> int:
        now = clock.now()
        with self.database.unit_of_work() as session:
            row = CocoonWorker(participant_id=self.id, worker_name=name, instance_number=0, host="127.0.0.1", stats_port=12000,
                               coefficient=coefficient, created_at=now, updated_at=now)
            session.add(row)
            session.flush()
            state = {"worker_id": row.id, "due_at": now, "reasons": [], "earned": {}, "errors": {}, "said_coefficient": said}
            session.execute(insert(WorkerState).values(state))
            return row.id

    def earn(self, worker_id: int, at: datetime, nano: int, table: Any = WorkerHour, **more: Any) -> None:
        row = {"worker_id": worker_id, "at": at, "samples": 1, "answered": 1, "level": 1, "requests": 10, "success": 9,
               "failed": 1, "time_seconds": 5.5, "revenue_nano": nano, "weighed_nano": nano, "gpu_samples": 0, **more}
        with self.database.unit_of_work() as session:
            session.execute(insert(table).values(row))

    def proposals(self) -> list[PayoutProposal]:
        with self.database.read_only() as session:
            return [row for row, _ in payout_proposals.page(session, (self.id,), 100, 0)][::-1]

    def balance(self, kind: str, is_platform: bool = False) -> int:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party(kind, None if is_platform else self.account_id), "TON").minor


@pytest.fixture
def pool(database: Database) -> Any:
    yield Pool(database)
    clock.replace_clock(None)


def at(moment: datetime) -> None:
    clock.replace_clock(lambda: moment)


def approve(pool: Pool, proposal_id: int) -> Any:
    with pool.database.unit_of_work() as session:
        return payout_proposals.approve(session, proposal_id, pool.account_id, RULES)


def test_a_period_is_proposed_once_it_is_over(database: Database, pool: Pool) -> None:
    first, second = pool.worker(coefficient=9000), pool.worker(said=9000)  # what they ask for today changes nothing
    pool.earn(first, MONDAY, 2 * TON, weighed_nano=3 * TON)
    pool.earn(first, MONDAY + WEEK - timedelta(hours=1), 1 * TON, WorkerPastHour, weighed_nano=TON // 2)
    pool.earn(first, MONDAY + WEEK, 100 * TON)  # of the next period
    pool.earn(first, MONDAY - timedelta(hours=1), 100 * TON)  # of the one before
    pool.earn(second, MONDAY + timedelta(days=3), 3, weighed_nano=1)
    at(MONDAY + WEEK + timedelta(minutes=59))
    assert proposals.propose_all(database, TERMS) == 0  # what came last may not be written yet
    at(MONDAY + WEEK + timedelta(hours=1))
    assert proposals.propose_all(database, TERMS) == 1
    assert proposals.propose_all(database, TERMS) == 0
    (row,) = pool.proposals()
    assert (row.period_start, row.period_end, row.state) == (MONDAY, MONDAY + WEEK, "proposed")
    assert row.earned_minor == 7 * TON // 2 + 1
    assert (row.share_percent, row.amount_minor) == (Decimal(95), row.earned_minor * 95 // 100)
    assert (row.total_requests, row.total_compute_time_seconds) == (30, 17)
    assert row.workers[0] == {"worker_id": first, "worker_name": "w", "earned_minor": 3 * TON, "coefficient": 1167,
                              "shares_contract_with": []}


def test_periods_follow_one_another_without_gap_or_overlap(database: Database, pool: Pool) -> None:
    worker = pool.worker()
    for week in range(4):
        pool.earn(worker, MONDAY + week * WEEK + timedelta(days=1), TON)
    at(MONDAY + 2 * WEEK + timedelta(days=1))
    assert proposals.propose_all(database, TERMS) == 1
    at(MONDAY + 3 * WEEK + timedelta(days=1))
    assert proposals.propose_all(database, Terms(timedelta(days=1), Decimal(95), TERMS.least)) == 1  # another length since then
    at(MONDAY + 4 * WEEK + timedelta(hours=2))
    assert proposals.propose_all(database, TERMS) == 1
    periods = [(row.period_start, row.period_end, row.earned_minor) for row in pool.proposals()]
    assert periods[0] == (MONDAY, MONDAY + 2 * WEEK, 2 * TON)
    assert periods[1] == (MONDAY + 2 * WEEK, MONDAY + 3 * WEEK, TON)
    assert periods[2] == (MONDAY + 3 * WEEK, MONDAY + 4 * WEEK, TON)


def test_too_little_waits_for_more(database: Database, pool: Pool) -> None:
    worker = pool.worker()
    pool.earn(worker, MONDAY, TON // 200)
    at(MONDAY + WEEK + timedelta(hours=2))
    assert proposals.propose_all(database, TERMS) == 0
    pool.earn(worker, MONDAY + WEEK, TON // 100)
    at(MONDAY + 2 * WEEK + timedelta(hours=2))
    assert proposals.propose_all(database, TERMS) == 1
    (row,) = pool.proposals()
    assert (row.period_start, row.earned_minor) == (MONDAY, TON // 200 + TON // 100)


def test_a_share_of_its_own_and_who_is_left_out(database: Database, pool: Pool) -> None:
    idle, nothing = Pool(database), Pool(database)
    for person in (pool, idle):
        person.earn(person.worker(), MONDAY, 3)
        person.earn(person.worker(), MONDAY, TON)
    nothing.worker()
    with database.unit_of_work() as session:
        participants.change(session, pool.id, {"share_percent": Decimal("33.33")})
        participants.change(session, idle.id, {"is_active": False})
    at(MONDAY + WEEK + timedelta(hours=2))
    assert proposals.propose_all(database, TERMS) == 1
    (row,) = pool.proposals()
    assert (row.earned_minor, row.amount_minor) == (TON + 3, 333_300_000)  # rounded down: the pool keeps what is left
    assert idle.proposals() == [] == nothing.proposals()


def test_a_contract_that_several_workers_name_is_shown_to_the_operator(database: Database, pool: Pool) -> None:
    """One worker registered twice, once by somebody else: its earnings are in three proposals' rows, and each says so."""
    other = Pool(database)
    first, again, alone, foreign = pool.worker(), pool.worker(), pool.worker(), other.worker()
    with database.unit_of_work() as session:
        for worker_id, earned in ((first, {"A": 5}), (again, {"A": 5, "B": 1}), (alone, {"C": 1}), (foreign, {"B": 1})):
            session.execute(update(WorkerState).where(WorkerState.worker_id == worker_id).values(earned=earned))
    for each, worker_id in ((pool, first), (pool, again), (pool, alone), (other, foreign)):
        each.earn(worker_id, MONDAY, TON)
    at(MONDAY + WEEK + timedelta(hours=1))
    assert proposals.propose_all(database, TERMS) == 2
    told = {item["worker_id"]: item["shares_contract_with"] for each in (pool, other) for item in each.proposals()[0].workers}
    assert told == {first: [again], again: [first, foreign], alone: [], foreign: [again]}


def test_a_contract_that_very_many_name_is_told_with_so_many(database: Database, pool: Pool) -> None:
    """All workers' contracts are read once, however many workers are asked for: pairs of workers would be too many."""
    ids = [pool.worker() for _ in range(worker_earnings.MOST_SHARING + 3)]
    with database.unit_of_work() as session:
        session.execute(update(WorkerState).values(earned={"A": 5, "B": 1}))
        found = worker_earnings.sharing(session, ids)
        assert found.keys() == set(ids) and {len(others) for others in found.values()} == {worker_earnings.MOST_SHARING}
        assert all(worker_id not in others for worker_id, others in found.items())
        plan = "\n".join(session.scalars(text(f"EXPLAIN {worker_earnings._SHARED.text}"), {"worker_ids": ids}))
    assert plan.count("Scan on cocoon_worker_states") == 1, plan


def test_who_makes_figures_up_keeps_nobody_from_his_proposal(database: Database, pool: Pool) -> None:
    """The most that a worker's history can hold, at the highest price: seen by the operator, and in nobody's way."""
    liar, honest = pool, Pool(database)
    for name in ("a", "b"):
        worker_id = liar.worker(coefficient=1_000_000, name=name)
        for hour in range(12):
            liar.earn(worker_id, MONDAY + timedelta(hours=hour), 2**58, weighed_nano=2**58, requests=2**62, time_seconds=1e19)
    honest.earn(honest.worker(), MONDAY, TON)
    at(MONDAY + WEEK + timedelta(hours=1))
    assert proposals.propose_all(database, TERMS) == 2
    (made_up,), (row,) = liar.proposals(), honest.proposals()
    assert (made_up.earned_minor, made_up.total_requests, made_up.total_compute_time_seconds) == (2**62,) * 3
    assert row.earned_minor == TON


def test_one_that_fails_is_logged_and_the_others_are_made(database: Database, pool: Pool, monkeypatch: Any) -> None:
    other, propose = Pool(database), payout_proposals.propose
    for each in (pool, other):
        each.earn(each.worker(), MONDAY, TON)

    def broken(session: Any, participant_id: int, *rest: Any) -> int | None:
        return propose(session, participant_id, *rest) if participant_id == other.id else int("broken")

    monkeypatch.setattr(payout_proposals, "propose", broken)
    at(MONDAY + WEEK + timedelta(hours=1))
    assert proposals.propose_all(database, TERMS) == 1
    assert len(other.proposals()) == 1 and pool.proposals() == []


def test_two_sweeps_at_once_propose_once(database: Database, pool: Pool) -> None:
    pool.earn(pool.worker(), MONDAY, TON)
    at(MONDAY + WEEK + timedelta(hours=2))
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: proposals.propose_all(database, TERMS), range(8)))
    assert sum(made) == 1 and len(pool.proposals()) == 1


def proposed(pool: Pool, nano: int = 10 * TON) -> PayoutProposal:
    pool.earn(pool.worker(), MONDAY, nano)
    at(MONDAY + WEEK + timedelta(hours=2))
    assert proposals.propose_all(pool.database, TERMS) == 1
    return pool.proposals()[-1]


def test_an_approval_brings_the_money_onto_the_ledger_and_takes_it_out(database: Database, pool: Pool) -> None:
    row = proposed(pool)
    approved, number = approve(pool, row.id)
    assert approved.state == "approved" and approved.approved_by == pool.account_id
    with database.unit_of_work() as session:
        (payout,) = session.query(Payout).all()
        assert (payout.number, payout.state, payout.origin, payout.amount_minor) == (number, "created", "engine", 95 * TON // 10)
        assert (payout.destination, payout.participant_id) == (pool.wallet, pool.id)
        assert payout.reference == f"cocoon:proposal:{row.id}"
        assert (payout.period_start, payout.period_end) == (MONDAY, MONDAY + WEEK)
        assert audit.differences(session) == []
    assert (pool.balance("balance"), pool.balance("payout")) == (0, 95 * TON // 10)
    assert (pool.balance("pool", True), pool.balance("fees", True), pool.balance("chain", True)) == (-10 * TON, TON // 2, 0)


def test_twenty_approvals_at_once_are_one_payout(database: Database, pool: Pool) -> None:
    row = proposed(pool)
    with ThreadPoolExecutor(20) as threads:
        numbers = set(threads.map(lambda _: approve(pool, row.id)[1], range(20)))
    assert len(numbers) == 1
    with database.unit_of_work() as session:
        assert session.execute(text("SELECT count(*) FROM payouts")).scalar_one() == 1
        assert session.execute(text("SELECT count(*) FROM transfers")).scalar_one() == 3
        assert audit.differences(session) == []
    assert pool.balance("payout") == 95 * TON // 10


def test_what_the_engine_would_not_pay_is_refused_and_changes_nothing(database: Database, pool: Pool) -> None:
    row = proposed(pool)
    rules = PayoutRules({"TON": Money(100 * TON, "TON")}, 24)
    with pytest.raises(Refused, match="smallest payout"), database.unit_of_work() as session:
        payout_proposals.approve(session, row.id, pool.account_id, rules)
    with pytest.raises(NotFound), database.unit_of_work() as session:
        payout_proposals.approve(session, 999, pool.account_id, RULES)
    assert pool.proposals()[0].state == "proposed" and pool.balance("balance") == 0
    with database.unit_of_work() as session:
        assert session.execute(text("SELECT count(*) FROM transfers")).scalar_one() == 0
    assert approve(pool, row.id)[0].state == "approved"


def test_a_payout_that_was_made_under_the_reference_is_not_made_again(database: Database, pool: Pool) -> None:
    """A proposal's row that was put back, as by a careless hand, finds what its references have done."""
    row = proposed(pool)
    _, number = approve(pool, row.id)
    with database.unit_of_work() as session:
        session.execute(text("UPDATE payout_proposals SET state = 'proposed', payout_id = NULL"))
    assert approve(pool, row.id)[1] == number
    with database.unit_of_work() as session:
        session.execute(text("UPDATE payout_proposals SET state = 'proposed', amount_minor = amount_minor + 1"))
    with pytest.raises(Conflict):
        approve(pool, row.id)
