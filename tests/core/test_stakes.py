"""Stakes: locked once, counted while they are, given back once after their delay, and never more than there was."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.core import audit, disputes, ledger, stakes
from app.core.disputes import Complaint
from app.core.ledger import Party
from app.db import Database
from app.errors import Conflict, LightyardError, PaymentRequired, Refused
from app.models.stakes import Unstaking
from app.values import clock
from app.values.money import Money, parse
from tests.factories.finished_tasks import client, finished_task, fund, seller
from tests.factories.task_market import Compute, moving_clock

HOURS = 72


def usdc(amount: str) -> Money:
    return parse(amount, "USDC")


@pytest.fixture
def later() -> Iterator[list[timedelta]]:
    """Time stands still; what is put into the list is added to it."""
    start, ahead = datetime(2026, 3, 1, tzinfo=UTC), [timedelta()]
    clock.replace_clock(lambda: start + sum(ahead, timedelta()))
    yield ahead
    clock.replace_clock(None)


def stake(database: Database, account: uuid.UUID, amount: str) -> None:
    with database.unit_of_work() as session:
        stakes.stake(session, account, usdc(amount), uuid.uuid4())


def unstake(database: Database, account: uuid.UUID, amount: str, hours: int = HOURS) -> uuid.UUID:
    with database.unit_of_work() as session:
        return stakes.unstake(session, account, usdc(amount), uuid.uuid4(), hours).id


def release(database: Database, unstaking: uuid.UUID) -> bool:
    with database.unit_of_work() as session:
        return stakes.release(session, unstaking)


def has(database: Database, account: uuid.UUID) -> tuple[int, int, int]:
    """(balance, stake, unstaking) in whole USDC; the books agree."""
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
        kinds = ("balance", "stake", "unstaking")
        found = [ledger.balance(session, Party(kind, account), "USDC").minor // 10**6 for kind in kinds]
    return found[0], found[1], found[2]


def test_many_stakes_and_unstakes_at_once_move_no_more_than_there_is(database: Database) -> None:
    account = client(database, "100")

    def act(number: int) -> str:
        try:
            if number % 2:
                unstake(database, account, "3", hours=0)
            else:
                stake(database, account, "7")
        except PaymentRequired as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(act, range(120)))
    balance, staked, unstaking = has(database, account)
    moved = [answer == "done" for answer in answers]
    assert staked == 7 * sum(moved[::2]) - 3 * sum(moved[1::2]) and balance == 100 - staked and unstaking == 0
    assert min(balance, staked) >= 0 and not all(moved[::2]), "more was asked for than there is"
    assert set(answers) <= {"done", "PAYMENT_REQUIRED", "INSUFFICIENT_STAKE"} and answers.count("done") > 20


def test_the_same_stake_or_unstake_told_again_is_the_same(database: Database) -> None:
    account, name = client(database, "100"), uuid.uuid4()
    for _ in range(2):
        with database.unit_of_work() as session:
            assert stakes.stake(session, account, usdc("40"), name).staked == usdc("40")
    for _ in range(2):
        with database.unit_of_work() as session:
            assert stakes.unstake(session, account, usdc("30"), name, HOURS).id == name
    assert has(database, account) == (60, 10, 30)
    for verb, more in ((stakes.stake, ()), (stakes.unstake, (HOURS,))):
        with pytest.raises(Conflict), database.unit_of_work() as session:
            verb(session, account, usdc("1"), name, *more)  # type: ignore[operator]


def test_a_stake_comes_back_once_after_its_delay_and_counts_no_more_from_the_first_moment(
    database: Database, later: list[timedelta]
) -> None:
    account = client(database, "100")
    stake(database, account, "100")
    unstaking = unstake(database, account, "60")
    with database.unit_of_work() as session:
        assert stakes.read(session, account, "USDC").staked == usdc("40")
        stakes.require(session, account, usdc("40"))
        with pytest.raises(PaymentRequired) as short:
            stakes.require(session, account, usdc("40.000001"))
    assert short.value.code == "INSUFFICIENT_STAKE"
    assert short.value.details == {"required": "40.000001", "current": "40.000000", "currency": "USDC"}
    later.append(timedelta(hours=HOURS, seconds=-1))
    assert not release(database, unstaking) and has(database, account) == (0, 40, 60)
    later.append(timedelta(seconds=1))
    with database.unit_of_work() as session:
        assert stakes.due(session) == [unstaking]
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: release(database, unstaking), range(8))) == [False] * 7 + [True]
    assert has(database, account) == (60, 40, 0)
    with database.unit_of_work() as session:
        assert stakes.due(session) == [] and session.get_one(Unstaking, unstaking).released_minor == usdc("60").minor


def test_more_than_is_staked_is_not_given_back(database: Database) -> None:
    account = client(database, "100")
    stake(database, account, "40")
    for amount in ("0", "40.000001", "1000000000"):
        with pytest.raises(LightyardError) as refusal:
            unstake(database, account, amount)
        assert refusal.value.code == ("AMOUNT_NOT_POSITIVE" if amount == "0" else "INSUFFICIENT_STAKE")
    assert has(database, account) == (60, 40, 0)


def test_only_stable_coins_are_staked(database: Database) -> None:
    account = client(database, "1", "SOL")
    with pytest.raises(Refused), database.unit_of_work() as session:
        stakes.stake(session, account, parse("1", "SOL"), uuid.uuid4())


@pytest.mark.parametrize("decision", ["reject", "slash"])
def test_what_an_open_dispute_may_take_waits_for_its_decision(
    database: Database, later: list[timedelta], decision: str
) -> None:
    farm, buyer = seller(database), client(database, "30")
    with database.unit_of_work() as session:
        fund(session, farm.account_id, usdc("50"))
    stake(database, farm.account_id, "50")
    task = finished_task(database, buyer, farm, "30")
    unstaking = unstake(database, farm.account_id, "40")
    with database.unit_of_work() as session:
        dispute = disputes.open_dispute(session, task, Complaint("other", "empty"), 48, buyer).id
    later.append(timedelta(hours=HOURS))
    assert not release(database, unstaking)
    earned = 28  # 28.5 of 30, less the platform's fee
    assert has(database, farm.account_id) == (earned, 10, 40)
    with database.unit_of_work() as session:
        if decision == "slash":
            disputes.slash(session, dispute, "test", "it is empty")
        else:
            disputes.reject(session, dispute, "test", "it is not")
    assert release(database, unstaking)
    assert has(database, farm.account_id) == ((earned + 20, 0, 0) if decision == "slash" else (earned + 40, 10, 0))
    assert has(database, buyer)[0] == (30 if decision == "slash" else 0)


def test_a_stake_stays_while_a_task_that_it_secures_runs_and_its_delay_after_that(database: Database) -> None:
    with moving_clock() as hours:
        market = Compute(database)
        farm, task_id = market.provider(), market.order(timeout_seconds=400_000, max_price=usdc("0.09"))  # holds 10
        with database.unit_of_work() as session:
            fund(session, farm.account_id, usdc("30"))
        stake(database, farm.account_id, "30")
        market.accept(farm, task_id)
        market.start(farm, task_id)
        hours.wait(60)
        spare, needed = unstake(database, farm.account_id, "20"), unstake(database, farm.account_id, "10")
        hours.wait(HOURS * 3600)
        assert (release(database, spare), release(database, needed)) == (True, False)
        assert market.complete(task_id, 100_000.0)
        assert not release(database, needed), "its buyer may dispute it"
        hours.wait(HOURS * 3600 - 1)
        assert not release(database, needed)
        hours.wait(2)
        assert release(database, needed)
    assert has(database, farm.account_id)[1:] == (0, 0)
