"""Held credits: in whatever order holds, captures and releases come, each ends once and nothing is made or lost."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.core import accounts, audit, credit_holds, credits, ledger
from app.core.ledger import Party
from app.db import Database
from app.errors import Conflict, PaymentRequired, Unavailable
from app.models.credits import CreditHold
from app.models.jobs import Job
from app.values.money import Money
from app.values.purposes import Purpose
from app.values.rates import read_table
from app.values.states import HoldState

RATES = read_table("CREDIT=0.10,USDC=1")


@dataclass
class Books:
    """A client with credits, an operator, and jobs between them."""

    database: Database
    client: uuid.UUID
    operator: uuid.UUID

    def job(self) -> uuid.UUID:
        with self.database.unit_of_work() as session:
            job = Job(id=uuid.uuid4(), dialect="rendertrust", kind="render", asset="CREDIT", units_total=1,
                      account_id=self.client, settings={}, breakdown={})
            session.add(job)
        return job.id

    def hold(self, job_id: uuid.UUID, minor: int) -> None:
        with self.database.unit_of_work() as session:
            credit_holds.hold(session, self.client, job_id, Money(minor, "CREDIT"), "Job execution: render")

    def capture(self, job_id: uuid.UUID) -> bool:
        with self.database.unit_of_work() as session:
            return credit_holds.capture(session, job_id, self.operator, RATES, 70) is not None

    def release(self, job_id: uuid.UUID) -> bool:
        with self.database.unit_of_work() as session:
            return credit_holds.release(session, job_id, "Job cancelled") is not None

    def has(self, kind: str, owner: uuid.UUID | None, asset: str = "CREDIT") -> int:
        with self.database.unit_of_work() as session:
            return ledger.balance(session, Party(kind, owner), asset).minor

    def assert_conserved(self, granted: int) -> None:
        """A client's credits are spendable, held or spent; what was spent is the platform's or exchanged, for what was earned."""
        mine, everybodys = self.ended("WHERE account_id = :client"), self.ended("")
        deducted, all_deducted = self.deducted(f"credits:user:{self.client}:%"), self.deducted("credits:user:%")
        held = self.has("held", self.client)
        assert self.has("balance", self.client) + held + mine["captured"] + deducted == granted
        assert held == mine["held"]
        assert self.has("exchange", None) == everybodys["parts"] and self.has("exchange", None, "USDC") == -everybodys["earned"]
        assert self.has("fees", None) == everybodys["captured"] - everybodys["parts"] + all_deducted
        with self.database.unit_of_work() as session:
            assert audit.differences(session) == []

    def ended(self, where: str) -> dict[str, int]:
        sums = {"captured": "amount_minor", "held": "amount_minor"}
        columns = [f"coalesce(sum({column}) FILTER (WHERE state = '{state}'), 0) AS {state}" for state, column in sums.items()]
        columns += ["coalesce(sum(operator_minor), 0) AS parts", "coalesce(sum(earned_minor), 0) AS earned"]
        with self.database.unit_of_work() as session:
            statement = text(f"SELECT {', '.join(columns)} FROM credit_holds {where}")
            return dict(session.execute(statement, {"client": self.client} if where else {}).mappings().one())

    def deducted(self, like: str) -> int:
        with self.database.unit_of_work() as session:
            query = text("SELECT coalesce(sum(amount_minor), 0) FROM transfers WHERE reference LIKE :like")
            return int(session.execute(query, {"like": like}).scalar_one())


@pytest.fixture
def books(database: Database) -> Books:
    return make_books(database, 1_000_000)


def make_books(database: Database, minor: int) -> Books:
    with database.unit_of_work() as session:
        client, operator = (accounts.ensure_identity(session, "email", f"{uuid.uuid4()}@example.com") for _ in range(2))
        if minor:
            credits.grant(session, client, Money(minor, "CREDIT"), f"test:{client}", Purpose.ADJUSTMENT)
    return Books(database, client, operator)


def test_a_captured_hold_pays_seventy_percent_in_usdc_and_keeps_its_rate(books: Books) -> None:
    job_id = books.job()
    books.hold(job_id, 100_000)
    assert (books.has("balance", books.client), books.has("held", books.client)) == (900_000, 100_000)
    assert books.capture(job_id) and not books.capture(job_id) and not books.release(job_id)
    assert books.has("fees", None) == 30_000
    assert books.has("balance", books.operator, "USDC") == 700_000  # 7 credits at 0.10 dollars
    with books.database.unit_of_work() as session:
        (row,) = session.query(CreditHold).all()
        assert (row.state, row.operator_minor, row.earned_minor, row.earned_asset) == ("captured", 70_000, 700_000, "USDC")
        assert (row.rate, row.rate_source, row.operator_id) == (Decimal("0.1"), "settings", books.operator)
        (use, _) = credits.history(session, books.client, 10, 0)
    assert (use.direction, use.purpose, use.reference_id) == ("DEBIT", "usage", f"job-{job_id}")
    assert (use.description, str(use.balance_after)) == ("Job execution: render", "90.0000")
    books.assert_conserved(1_000_000)


def test_a_released_hold_is_back_and_a_second_hold_has_a_reference_of_its_own(books: Books) -> None:
    job_id = books.job()
    for _ in range(2):
        books.hold(job_id, 100_000)
        with pytest.raises(Conflict, match="already"):
            books.hold(job_id, 100_000)
        assert books.release(job_id) and not books.release(job_id) and not books.capture(job_id)
        assert books.has("balance", books.client) == 1_000_000
    with books.database.unit_of_work() as session:
        shown = [(entry.direction, entry.reference_id, entry.purpose) for entry in credits.history(session, books.client, 4, 0)]
    job = f"job-{job_id}"
    assert shown == [("CREDIT", f"{job}.2", "refund"), ("DEBIT", f"{job}.2", "usage"),
                     ("CREDIT", job, "refund"), ("DEBIT", job, "usage")]
    books.assert_conserved(1_000_000)


def test_a_hold_of_more_than_there_is_is_refused_whole(books: Books) -> None:
    job_id = books.job()
    with pytest.raises(PaymentRequired) as refused:
        books.hold(job_id, 1_000_001)
    assert refused.value.details == {"available": "100.0000", "requested": "100.0001"}
    assert not books.release(job_id) and not books.capture(job_id)
    books.hold(job_id, 1_000_000)
    books.assert_conserved(1_000_000)


def test_a_job_for_nothing_is_held_and_ended_like_any_other(books: Books) -> None:
    first, second = books.job(), books.job()
    for job_id in (first, second):
        books.hold(job_id, 0)
    assert books.capture(first) and books.release(second) and not books.release(first)
    books.assert_conserved(1_000_000)


def test_without_a_rate_nothing_is_done(books: Books) -> None:
    job_id = books.job()
    books.hold(job_id, 10)
    with pytest.raises(Unavailable), books.database.unit_of_work() as session:
        credit_holds.capture(session, job_id, books.operator, read_table("USDC=1"), 70)
    assert books.capture(job_id)


def test_earnings_pay_what_the_operator_owes_first(books: Books) -> None:
    with books.database.unit_of_work() as session:
        ledger.post(session, Party("debt", books.operator), Party("fees"), Money(500_000, "USDC"), "fee:old")
    job_id = books.job()
    books.hold(job_id, 100_000)
    assert books.capture(job_id)
    assert books.has("balance", books.operator, "USDC") == 200_000 and books.has("debt", books.operator, "USDC") == 0


def test_a_grant_is_given_once_and_its_reference_is_nobody_elses(books: Books) -> None:
    with books.database.unit_of_work() as session:
        assert credits.grant(session, books.client, Money(5, "CREDIT"), "pi_1", Purpose.PURCHASE)
        assert not credits.grant(session, books.client, Money(5, "CREDIT"), "pi_1", Purpose.PURCHASE)
    for account_id, minor in ((books.client, 6), (books.operator, 5)):
        with pytest.raises(Conflict), books.database.unit_of_work() as session:
            credits.grant(session, account_id, Money(minor, "CREDIT"), "pi_1", Purpose.PURCHASE)
    assert books.has("balance", books.client) == 1_000_005


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "capture", "release", "deduct", "grant"]), st.integers(0, 3), st.integers(0, 40)),
    max_size=40,
)


class Play:
    """Four jobs of one client, and what should be so after each step."""

    def __init__(self, database: Database, granted: int) -> None:
        self.books, self.granted = make_books(database, granted), granted
        self.jobs = [self.books.job() for _ in range(4)]
        self.held: dict[uuid.UUID, int] = {}

    def step(self, number: int, step: str, job_id: uuid.UUID, minor: int) -> None:
        if step in ("capture", "release"):
            is_first = self.books.capture(job_id) if step == "capture" else self.books.release(job_id)
            assert is_first == (job_id in self.held)
            self.held.pop(job_id, None)
        elif step == "hold":
            self.hold(job_id, minor)
        elif minor and step == "grant":
            self.granted += minor
            with self.books.database.unit_of_work() as session:
                credits.grant(session, self.books.client, Money(minor, "CREDIT"), f"{job_id}:{number}", Purpose.ADJUSTMENT)
        elif minor:
            self.deduct(number, minor)

    def hold(self, job_id: uuid.UUID, minor: int) -> None:
        has = self.books.has("balance", self.books.client)
        try:
            self.books.hold(job_id, minor)
            assert minor <= has and job_id not in self.held
            self.held[job_id] = minor
        except PaymentRequired:
            assert minor > has and job_id not in self.held
        except Conflict:
            assert job_id in self.held

    def deduct(self, number: int, minor: int) -> None:
        has = self.books.has("balance", self.books.client)
        try:
            with self.books.database.unit_of_work() as session:
                entry = credits.deduct(session, self.books.client, Money(minor, "CREDIT"), f"step:{number}")
            assert entry.balance_after.minor == has - minor
        except PaymentRequired:
            assert minor > has


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(granted=st.integers(0, 100), steps=STEPS)
def test_in_any_order_money_is_conserved(database: Database, granted: int, steps: list[tuple[str, int, int]]) -> None:
    play = Play(database, granted)
    for number, (step, index, minor) in enumerate(steps):
        play.step(number, step, play.jobs[index], minor)
    assert play.books.has("held", play.books.client) == sum(play.held.values())
    play.books.assert_conserved(play.granted)


def test_of_captures_and_releases_at_once_exactly_one_wins(books: Books) -> None:
    jobs = [books.job() for _ in range(100)]
    for job_id in jobs:
        books.hold(job_id, 1_001)

    def end(index: int) -> bool:
        job_id = jobs[index // 4]
        return books.capture(job_id) if (index + index // 4) % 2 else books.release(job_id)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(end, range(400)))
    assert [sum(won[index : index + 4]) for index in range(0, 400, 4)] == [1] * 100
    with books.database.unit_of_work() as session:
        states = set(session.scalars(text("SELECT state FROM credit_holds")))
    assert HoldState.HELD not in states
    books.assert_conserved(1_000_000)


def test_of_holds_at_once_for_one_job_exactly_one_is_taken(books: Books) -> None:
    job_id = books.job()

    def hold(_: int) -> bool:
        try:
            books.hold(job_id, 100)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(hold, range(16))) == 1
    books.assert_conserved(1_000_000)


def test_holds_at_once_of_a_balance_good_for_ten(books: Books) -> None:
    jobs = [books.job() for _ in range(30)]

    def hold(job_id: uuid.UUID) -> bool:
        try:
            books.hold(job_id, 100_000)
        except PaymentRequired:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(hold, jobs)) == 10
    books.assert_conserved(1_000_000)
