"""Disputes: whatever happens around them, in whatever order, the buyer has what was decided, and all money adds up."""

import random
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from app.core import audit, disputes, ledger, payouts, stakes, task_holds
from app.core.disputes import Complaint, Wanted
from app.core.ledger import Party
from app.db import Database
from app.errors import Conflict, LightyardError, NotFound, PaymentRequired
from app.models.accounts import Identity
from app.models.disputes import Dispute
from app.models.ledger import LedgerAccount
from app.models.payments import Refund
from app.models.reputation import ProviderMark
from app.models.stakes import Unstaking
from app.values import clock
from app.values.money import Money, parse
from app.values.payouts import read_minimums
from tests.factories.finished_tasks import Seller, client, end, finished_task, fund, running_task, seller

WITHIN_HOURS = 48
BAD = Complaint("other", "the archive is empty")
RULES = payouts.PayoutRules(read_minimums("0.01"), cool_off_hours=0)
KINDS = ("balance", "held", "stake", "unstaking", "payout", "owed", "debt")


def usdc(amount: str) -> Money:
    return parse(amount, "USDC")


def balance(database: Database, kind: str, owner: uuid.UUID | None) -> int:
    with database.unit_of_work() as session:
        return ledger.balance(session, Party(kind, owner), "USDC").minor


def opened(
    database: Database, task: uuid.UUID, by: uuid.UUID, complaint: Complaint = BAD, is_operator: bool = False
) -> uuid.UUID:
    with database.unit_of_work() as session:
        return disputes.open_dispute(session, task, complaint, WITHIN_HOURS, by, is_operator).id


def slashed(database: Database, dispute: uuid.UUID, penalty: str = "0") -> Dispute:
    with database.unit_of_work() as session:
        return disputes.slash(session, dispute, "test", "it is", usdc(penalty).minor)


@pytest.fixture
def farm(database: Database) -> Seller:
    return seller(database)


@pytest.fixture
def buyer(database: Database) -> uuid.UUID:
    return client(database, "100")


def test_a_slash_takes_the_stake_first_and_what_nobody_has_is_owed_until_it_is_earned(
    database: Database, farm: Seller, buyer: uuid.UUID
) -> None:
    """40 were paid, 38 of them earned: 10 are staked, 5 on their way back, 23 are the balance; 2 are the provider's debt."""
    task = finished_task(database, buyer, farm, "40")
    with database.unit_of_work() as session:
        stakes.stake(session, farm.account_id, usdc("15"), uuid.uuid4())
        stakes.unstake(session, farm.account_id, usdc("5"), uuid.uuid4(), 72)
    row = slashed(database, opened(database, task, buyer), penalty="3")
    assert (row.state, row.refunded_minor, row.owed_minor, row.penalty_minor) == ("slashed", 38 * 10**6, 2 * 10**6, 0)
    assert [balance(database, kind, farm.account_id) for kind in KINDS] == [0, 0, 0, 0, 0, 0, -2 * 10**6]
    assert [balance(database, kind, buyer) for kind in KINDS] == [98 * 10**6, 0, 0, 0, 0, 2 * 10**6, 0]
    other = client(database, "8")
    finished_task(database, other, farm, "8")  # 7.60 are earned: 2 of them go to whom they are owed
    assert balance(database, "balance", buyer) == 100 * 10**6 and balance(database, "owed", buyer) == 0
    assert balance(database, "balance", farm.account_id) == 5_600_000 and balance(database, "debt", farm.account_id) == 0
    with database.unit_of_work() as session:
        assert {(item.reason, item.status) for item in session.scalars(select(Refund))} == {("slashed", "credited")}
        assert [(mark.provider_id, mark.outcome) for mark in session.scalars(select(ProviderMark))] == [
            (farm.provider_id, "disputed")
        ]
        assert audit.differences(session) == []


def test_a_penalty_is_taken_from_the_stake_alone_for_the_platform(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    task = finished_task(database, buyer, farm, "10")
    with database.unit_of_work() as session:
        fund(session, farm.account_id, usdc("20"))
        stakes.stake(session, farm.account_id, usdc("12"), uuid.uuid4())
    fees = balance(database, "fees", None)
    row = slashed(database, opened(database, task, buyer), penalty="5")
    assert (row.refunded_minor, row.penalty_minor) == (10 * 10**6, 2 * 10**6)
    assert balance(database, "fees", None) == fees + 2 * 10**6 and balance(database, "stake", farm.account_id) == 0
    assert balance(database, "balance", farm.account_id) == 17_500_000  # 20 + 9.50 earned - 12 staked


def test_of_many_decisions_at_once_one_counts(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    dispute = opened(database, finished_task(database, buyer, farm, "10"), buyer)

    def decide(number: int) -> str:
        try:
            with database.unit_of_work() as session:
                if number % 2:
                    return disputes.slash(session, dispute, "test", "bad").state
                return disputes.reject(session, dispute, "test", "good").state
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(decide, range(16)))
    assert answers.count("DISPUTE_DECIDED") == 15
    has_slashed = "slashed" in answers
    found = balance(database, "balance", buyer), balance(database, "owed", buyer)  # it has 9.5 of the 10: the fee it owes
    assert found == ((99_500_000, 500_000) if has_slashed else (90_000_000, 0))


def test_time_that_was_charged_without_a_result_can_be_disputed(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    with database.unit_of_work() as session:
        task = running_task(session, buyer, farm, usdc("10"))
        task_holds.capture(session, task, usdc("4"), farm.account_id, 5)  # as when its time is up, or its owner stopped it
    before = balance(database, "balance", buyer)
    assert slashed(database, opened(database, task, buyer)).refunded_minor == usdc("3.8").minor  # what the provider had of it
    assert balance(database, "balance", buyer) > before


def test_only_the_buyer_or_an_operator_opens_it_once_and_in_time(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    def refusal(task: uuid.UUID, by: uuid.UUID, complaint: Complaint = BAD) -> str:
        with pytest.raises(LightyardError) as caught:
            opened(database, task, by, complaint)
        assert caught.value.status < 500
        return caught.value.code

    task, stranger = finished_task(database, buyer, farm, "10"), client(database)
    assert refusal(task, stranger) == refusal(uuid.uuid4(), buyer) == refusal(task, farm.account_id) == "TASK_NOT_FOUND"
    assert refusal(task, buyer, Complaint("rerun", "x", None, task)) == "RERUN_DIFFERS"
    assert refusal(task, buyer, Complaint("rerun", "x", None, uuid.uuid4())) == "RERUN_NOT_FOUND"
    opened(database, task, stranger, is_operator=True)
    assert refusal(task, buyer) == "DISPUTE_EXISTS"
    late = clock.now() - timedelta(hours=WITHIN_HOURS, seconds=1)
    assert refusal(finished_task(database, buyer, farm, "10", ended_at=late), buyer) == "DISPUTE_TOO_LATE"
    with database.unit_of_work() as session:
        fund(session, farm.account_id, usdc("20"))
        running, over = (running_task(session, buyer, farm, usdc("10")) for _ in range(2))
        task_holds.release(session, over)
    assert refusal(running, buyer) == refusal(over, buyer) == "TASK_NOT_COMPLETED"
    assert refusal(finished_task(database, farm.account_id, farm, "10"), farm.account_id) == "DISPUTE_OWN_TASK"
    with database.unit_of_work() as session:
        (only,) = disputes.page(session, Wanted(), 10)
        assert (only.account_id, only.opened_by, only.provider_id) == (buyer, stranger, farm.provider_id)


def test_a_rerun_by_another_provider_is_held_against_the_result(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    other = seller(database, "other")
    task = finished_task(database, buyer, farm, "10", sha256="aa" * 32)
    same = finished_task(database, buyer, other, "10", sha256="bb" * 32)
    for rerun, code in (
        (finished_task(database, buyer, other, "10", command=["other"]), "RERUN_DIFFERS"),
        (finished_task(database, buyer, farm, "10"), "RERUN_SAME_PROVIDER"),
        (finished_task(database, client(database, "10"), other, "10"), "RERUN_NOT_FOUND"),
    ):
        with pytest.raises(LightyardError) as caught:
            opened(database, task, buyer, Complaint("rerun", "x", None, rerun))
        assert caught.value.code == code
    dispute = opened(database, task, buyer, Complaint("rerun", "x", "aa" * 32, same))
    with database.unit_of_work() as session:
        found = disputes.findings(session, disputes.note_stored(session, dispute, "aa" * 32))
    assert found["result_sha256"] == "aa" * 32 and found["rerun_sha256"] == "bb" * 32
    assert (found["matches_expected"], found["matches_stored"], found["matches_rerun"]) == (True, True, False)


def test_a_provider_answers_only_what_is_its_own_and_open(database: Database, farm: Seller, buyer: uuid.UUID) -> None:
    dispute = opened(database, finished_task(database, buyer, farm, "10"), buyer)
    for who, status in ((seller(database, "other").provider_id, 404), (farm.provider_id, None)):
        with database.unit_of_work() as session:
            if status is None:
                assert disputes.answer(session, dispute, who, "it is there").answer == "it is there"
            else:
                with pytest.raises(NotFound):
                    disputes.answer(session, dispute, who, "mine")
    slashed(database, dispute)
    with pytest.raises(Conflict), database.unit_of_work() as session:
        disputes.answer(session, dispute, farm.provider_id, "too late")


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("order end cancel stake unstake release pay_out open slash reject earn".split()), st.integers(0, 7)
    ),
    max_size=30,
)


class Play:
    """A buyer, a provider, and their tasks; each step may come at any time, and may be refused."""

    def __init__(self, database: Database) -> None:
        self.database, self.farm, self.buyer = database, seller(database), client(database, "200")
        self.other = client(database, "10000")
        self.running: list[uuid.UUID] = []
        self.finished: list[uuid.UUID] = []
        self.disputes: list[uuid.UUID] = []
        self.cost = self.earned = self.paid_back = self.lost = 0

    def step(self, event: str, number: int) -> None:
        try:
            getattr(self, f"_{event}")(number, usdc(str(3 * number + 1)))
        except (PaymentRequired, Conflict):
            return

    def _order(self, _: int, amount: Money) -> None:
        with self.database.unit_of_work() as session:
            made = running_task(session, self.buyer, self.farm, amount)
        self.running.append(made)

    def _end(self, number: int, amount: Money) -> None:
        if not self.running:
            return
        task = self.running.pop(number % len(self.running))
        with self.database.unit_of_work() as session:
            end(session, task, self.farm, amount)
            hold = session.query(task_holds.TaskHold).filter_by(job_id=task).one()
            self.cost += (hold.earned_minor or 0) + (hold.fee_minor or 0)
            self.earned += hold.earned_minor or 0
        self.finished.append(task)

    def _cancel(self, number: int, _: Money) -> None:
        if self.running:
            with self.database.unit_of_work() as session:
                task_holds.release(session, self.running.pop(number % len(self.running)))

    def _stake(self, _: int, amount: Money) -> None:
        with self.database.unit_of_work() as session:
            stakes.stake(session, self.farm.account_id, amount, uuid.uuid4())

    def _unstake(self, number: int, amount: Money) -> None:
        with self.database.unit_of_work() as session:
            stakes.unstake(session, self.farm.account_id, amount, uuid.uuid4(), number % 2)

    def _release(self, *_: object) -> None:
        """Their delay is over."""
        with self.database.unit_of_work() as session:
            session.execute(update(Unstaking).values(releases_at=clock.now()))
            for item in stakes.due(session):
                stakes.release(session, item)

    def _pay_out(self, _: int, amount: Money) -> None:
        with self.database.unit_of_work() as session:
            wallet = session.query(Identity).filter_by(account_id=self.farm.account_id).one().value
            payouts.request(session, self.farm.account_id, amount, f"test:{uuid.uuid4()}", RULES, wallet)

    def _earn(self, _: int, amount: Money) -> None:
        """From somebody who never disputes anything."""
        task = finished_task(self.database, self.other, self.farm, str(amount))
        with self.database.unit_of_work() as session:
            self.earned += session.query(task_holds.TaskHold).filter_by(job_id=task).one().earned_minor or 0

    def _open(self, number: int, _: Money) -> None:
        if self.finished:
            self.disputes.append(opened(self.database, self.finished[number % len(self.finished)], self.buyer))

    def _slash(self, number: int, amount: Money) -> None:
        if self.disputes:
            row = slashed(self.database, self.disputes[number % len(self.disputes)], str(amount))
            assert row.refunded_minor is not None and row.owed_minor is not None and row.penalty_minor is not None
            assert row.refunded_minor + row.owed_minor == row.cost_minor
            self.paid_back += row.cost_minor
            self.lost += row.cost_minor + row.penalty_minor

    def _reject(self, number: int, _: Money) -> None:
        if self.disputes:
            with self.database.unit_of_work() as session:
                disputes.reject(session, self.disputes[number % len(self.disputes)], "test", "no")

    def assert_conserved(self) -> None:
        with self.database.unit_of_work() as session:
            rows = session.query(LedgerAccount).filter_by(asset="USDC").all()
            assert audit.differences(session) == []
        of = {(row.owner_id, row.kind): row.balance_minor or 0 for row in rows}
        has = {kind: of.get((self.buyer, kind), 0) for kind in KINDS}
        assert has["balance"] + has["held"] + has["owed"] == 200 * 10**6 - self.cost + self.paid_back
        has = {kind: of.get((self.farm.account_id, kind), 0) for kind in KINDS}
        kept = has["balance"] + has["stake"] + has["unstaking"] + has["payout"] + has["debt"]
        assert kept == self.earned - self.lost
        assert min(has[kind] for kind in KINDS if kind != "debt") >= 0 >= has["debt"]
        assert has["debt"] == 0 or has["balance"] == 0  # what is there pays what is owed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_money_is_conserved_at_every_moment(database: Database, events: list[tuple[str, int]]) -> None:
    play = Play(database)
    for event, number in events:
        play.step(event, number)
        play.assert_conserved()


def test_two_who_work_for_each_other_never_wait_in_a_ring(database: Database) -> None:
    """Orders, ends, stakes and slashes of both, all at once: each is done or refused for what it says."""
    farms, done = [seller(database, name) for name in "ab"], Counter[str]()
    open_ones = []
    for number in range(20):
        one, other = farms[number % 2], farms[1 - number % 2]
        with database.unit_of_work() as session:
            fund(session, one.account_id, usdc("100"))
        open_ones.append(opened(database, finished_task(database, one.account_id, other, "3"), one.account_id))

    def act(number: int) -> None:
        (one, other), rng = random.Random(number).sample(farms, 2), random.Random(number)
        kind = ("task", "stake", "unstake", "slash")[number % 4]
        try:
            with database.unit_of_work() as session:
                if kind == "task":
                    task = running_task(session, one.account_id, other, usdc("5"))
                elif kind == "slash":
                    disputes.slash(session, rng.choice(open_ones), "test", "bad", usdc("1").minor)
                elif kind == "stake":
                    stakes.stake(session, one.account_id, usdc("2"), uuid.uuid4())
                else:
                    stakes.unstake(session, one.account_id, usdc("1"), uuid.uuid4(), 0)
            if kind == "task":
                with database.unit_of_work() as session:
                    end(session, task, other, usdc("3"))
        except LightyardError as error:
            done[error.code] += 1
        else:
            done[kind] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(160)))
    assert set(done) <= {"task", "stake", "unstake", "slash", "INSUFFICIENT_STAKE", "DISPUTE_DECIDED"}, done
    assert done["task"] == done["stake"] == 40 and done["slash"] + done["DISPUTE_DECIDED"] == 40
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
