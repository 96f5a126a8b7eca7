"""A task's money: whoever has it, whatever ends it and whenever, nothing is lost and nothing is made."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from app.core import audit, disputes, outcomes, stale_jobs
from app.core.claims import Claim
from app.core.disputes import Complaint
from app.core.task_ends import Exit
from app.db import Database
from app.errors import Conflict, LightyardError, PaymentRequired
from app.models.nodes import Provider
from app.models.reputation import ProviderMark
from app.values.money import parse
from tests.factories.task_market import PULL_SECONDS, Compute, Hours, moving_clock


@pytest.fixture
def hours() -> Iterator[Hours]:
    with moving_clock() as found:
        yield found


@pytest.fixture
def market(database: Database) -> Compute:
    return Compute(database)


def test_the_most_that_it_can_cost_is_set_aside_and_short_funds_say_so(market: Compute) -> None:
    market.order()
    assert (market.money(), market.money("held")) == ("90.00", "10.00")
    with pytest.raises(PaymentRequired) as refused:
        market.order(max_price=parse("360", "USDC"))
    assert refused.value.details == {"requested": "100.000000", "available": "90.000000"}
    market.assert_conserved()


def test_a_task_is_billed_by_the_seconds_that_the_hub_saw(market: Compute, hours: Hours) -> None:
    farm, task_id = market.provider(), market.order()
    market.accept(farm, task_id)
    hours.wait(100)  # waiting for its container costs nothing
    market.start(farm, task_id)
    hours.wait(99.5)
    assert market.complete(task_id, 10_000)
    view = market.view(task_id)
    assert (view.status, view.task.billed_seconds, view.task.billed_minor) == ("completed", 100, 1_000_000)
    assert (market.earned(farm), str(market.fees()), market.money()) == ("0.95", "0.050000", "99.00")
    market.assert_settled(task_id, farm.account_id)


def test_never_more_than_the_node_claims_nor_than_was_set_aside(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    modest, slow = market.order(), market.order()
    for task_id, claimed in ((modest, 20.2), (slow, 10**6)):
        market.accept(farm, task_id)
        market.start(farm, task_id)
        hours.wait(1500)
        assert market.complete(task_id, claimed)
    assert [market.view(task_id).task.billed_seconds for task_id in (modest, slow)] == [21, 1000]
    assert market.money() == "89.79"
    for task_id in (modest, slow):
        market.assert_settled(task_id, farm.account_id)


def test_software_that_never_said_that_it_began_is_paid_nothing(market: Compute, hours: Hours) -> None:
    farm, task_id = market.provider(), market.order()
    market.accept(farm, task_id)
    hours.wait(290)
    assert market.complete(task_id, 290.0)
    assert market.view(task_id).task.billed_seconds == 0
    market.assert_settled(task_id, farm.account_id)


def test_a_node_is_paid_by_what_it_says_up_to_what_the_hub_saw(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    node_id, task_id = market.node(farm), market.order()
    [claim] = market.claim(node_id)
    hours.wait(30)
    assert market.complete(task_id, 12.0, (claim.attempt_id, claim.fence))
    assert market.view(task_id).task.billed_seconds == 12
    assert market.view(task_id).task.provider_id == farm.id
    market.assert_settled(task_id, farm.account_id)


class Play:
    """One task, two providers' software, and a third one's node; attempts that were ever made stay known, so that late messages
    can be sent."""

    def __init__(self, market: Compute, hours: Hours) -> None:
        self.market, self.hours, self.task_id = market, hours, market.order()
        self.farms = [market.provider(), market.provider()]
        self.owner = market.provider()
        self.node_id = market.node(self.owner)
        self.claims: list[Claim] = []
        self.pairs: list[tuple[uuid.UUID, int]] = []

    @property
    def earners(self) -> list[uuid.UUID]:
        return [farm.account_id for farm in (*self.farms, self.owner)]

    def step(self, event: str, number: int) -> None:
        """One thing that somebody does; a refusal is an answer, too."""
        try:
            self._act(event, self.farms[number % 2], number)
        except (Conflict, LightyardError) as refusal:
            assert refusal.status < 500, refusal
        self._remember()

    def _act(self, event: str, farm: Provider, number: int) -> None:
        market, task_id = self.market, self.task_id
        if event == "wait":
            self.hours.wait(number * 60)
        elif event in ("accept", "start", "report", "fail"):
            getattr(market, event)(farm, task_id)
        elif event == "claim":
            self.claims += market.claim(self.node_id)
        elif event == "run" and self.claims:
            market.renew(self.node_id, self.claims[-1], number * 60.0)
        elif event == "exit":
            market.fail(farm, task_id, exit_code=number + 1)
        elif event == "end" and self.claims:
            market.node_fails(self.claims[-1 - number % len(self.claims)], "EXECUTION_ERROR", Exit(number + 1, number * 60.0))
        elif event == "break" and self.claims:
            market.node_fails(self.claims[-1 - number % len(self.claims)], ("CRASHED", "TIME_LIMIT")[number % 2])
        elif event == "complete" and self.pairs:
            market.complete(task_id, number * 60.0, self.pairs[-1 - number % len(self.pairs)])
        elif event == "price":
            market.change(task_id, max_price_minor=(number + 1) * 9_000_000)
        elif event == "sweep":
            market.sweep()
        elif event == "cancel" and number > 8:
            market.cancel(task_id)

    def _remember(self) -> None:
        unit = self.market.view(self.task_id).unit
        if unit.attempt_id is not None and (unit.attempt_id, unit.fence) not in self.pairs:
            self.pairs.append((unit.attempt_id, unit.fence))


EVENTS = "wait accept start report fail exit claim run break end complete price sweep cancel".split()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 10)), max_size=25))
def test_whatever_happens_to_a_task_its_money_adds_up(database: Database, events: list[tuple[str, int]]) -> None:
    with moving_clock() as hours:
        play = Play(Compute(database), hours)
        for event, number in events:
            play.step(event, number)
            play_over = play.market.view(play.task_id).is_over
            if not play_over:
                play.market.assert_conserved(*play.earners)
        if not play.market.view(play.task_id).is_over:
            play.market.cancel(play.task_id)
        play.market.assert_settled(play.task_id, *play.earners)


# The seconds that ran at each moment, by the hub's clock; None: it is in nobody's hands that has begun.
MOMENTS: dict[str, Callable[[Play], None]] = {
    "waiting": lambda play: None,
    "accepted": lambda play: _do(play, "accept"),
    "running": lambda play: _do(play, "accept", "start"),
    "given back": lambda play: _do(play, "accept", "start", "fail"),
    "claimed": lambda play: _do(play, "claim"),
    "on a node": lambda play: _do(play, "claim", "run 40"),
}
RAN = {"running": 50, "on a node": 40}


def _do(play: Play, *events: str) -> None:
    for event in events:
        if event == "run 40":
            play.hours.wait(40)
            assert play.market.renew(play.node_id, play.claims[-1], 40.0)
        else:
            play.step(event, 0)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("end", ["cancel", "failure", "time", "nobody"])
def test_a_task_that_ends_early_costs_what_ran_and_no_more(market: Compute, hours: Hours, moment: str, end: str) -> None:
    """Its owner and its time limit cut short what is paid for; a failure is not, nor what nobody has begun."""
    play = Play(market, hours)
    MOMENTS[moment](play)
    hours.wait(50 if moment == "running" else 7)  # of which a node has told nothing
    with market.database.unit_of_work() as session:
        if end == "failure":
            outcomes.fail_job(session, play.task_id, "EXECUTION_ERROR", "it broke too often")
        elif end == "nobody":
            stale_jobs.fail_untaken_jobs(session, -3600)
    expected = RAN.get(moment, 0) if end == "cancel" else 0
    if end == "cancel":
        market.cancel(play.task_id)
    if end == "time":
        _let_time_pass(play, moment)
        expected = {"running": 1000, "on a node": 1000}.get(moment, 0)
    if end == "nobody" and moment in ("accepted", "running", "claimed", "on a node"):
        assert not market.view(play.task_id).is_over, "somebody has it"
        market.cancel(play.task_id)
        expected = RAN.get(moment, 0)
    view = market.view(play.task_id)
    words = {"cancel": "cancelled", "failure": "failed", "time": "timeout" if expected else "cancelled"}
    assert view.status == words.get(end, "failed" if moment in ("waiting", "given back") else "cancelled")
    assert (view.task.billed_seconds or 0) == expected
    market.assert_settled(play.task_id, *play.earners)


def _let_time_pass(play: Play, moment: str) -> None:
    """Whoever has the task keeps it until its time is up; what nobody runs has no such time, and its owner gives up."""
    hours, market = play.hours, play.market
    if moment == "running":
        for _ in range(5):
            hours.wait(200)
            market.report(play.farms[0], play.task_id) if not market.view(play.task_id).is_over else None
        market.sweep()
    elif moment == "on a node":
        hours.wait(1000 - 40)
        assert market.renew(play.node_id, play.claims[-1], 1000.0)
        assert market.node_fails(play.claims[-1], "TIME_LIMIT") == "cancelled"
    else:
        market.cancel(play.task_id)


def test_a_container_that_ends_by_itself_ends_its_task_and_its_seconds_are_paid(market: Compute, hours: Hours) -> None:
    farm, task_id = market.provider(), market.order()
    market.accept(farm, task_id)
    hours.wait(100)
    market.start(farm, task_id)
    hours.wait(49.5)
    view = market.fail(farm, task_id, "a typo", exit_code=3)
    assert (view.status, view.job.reason_code, view.task.exit_code, view.is_over) == ("failed", "EXECUTION_ERROR", 3, True)
    assert (view.task.billed_seconds, market.earned(farm), market.money()) == (50, "0.48", "99.50")
    assert market.claim(market.node()) == [], "nobody else tries it"
    with pytest.raises(Conflict) as refused:
        market.fail(farm, task_id, exit_code=3)
    assert refused.value.code == "TASK_OVER"
    market.assert_settled(task_id, farm.account_id)
    with market.database.unit_of_work() as session:
        dispute = disputes.open_dispute(session, task_id, Complaint("other", "it never ran"), 48, market.account_id)
        assert dispute.cost_minor == 500_000, "as a charged timeout is"
        marks = session.scalars(select(ProviderMark.outcome).where(ProviderMark.provider_id == farm.id)).all()
        assert marks == ["exited"]


def test_what_a_node_says_of_a_containers_own_end_counts_from_its_start(market: Compute, hours: Hours) -> None:
    """The pull costs nothing, and an end that is the first that a node tells is paid for, too, up to what the hub saw."""
    farm = market.provider()
    node_id = market.node(farm)
    for code, told, billed in (("OUT_OF_MEMORY", 4.2, 5), ("EXECUTION_ERROR", 5000.0, 131), ("EXECUTION_ERROR", 0.0, 0)):
        task_id = market.order()
        [claim] = market.claim(node_id)
        hours.wait(40)
        assert market.renew(node_id, claim, 0.0) and market.view(task_id).status == "accepted", "it fetches the image"
        hours.wait(40)
        assert market.renew(node_id, claim, 0.0)
        hours.wait(51)
        assert market.node_fails(claim, code, Exit(137, told)) == "cancelled"
        view = market.view(task_id)
        assert (view.status, view.job.reason_code, view.task.billed_seconds or 0) == ("failed", code, billed)
        market.assert_settled(task_id, farm.account_id)


def test_a_task_that_is_called_off_while_its_image_is_fetched_costs_nothing(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    node_id = market.node(farm)
    for seconds in (0.0, 10.0):
        task_id = market.order()
        [claim] = market.claim(node_id)
        hours.wait(50)
        market.renew(node_id, claim, seconds)
        assert (market.cancel(task_id).task.billed_seconds or 0) == seconds
        market.assert_settled(task_id, farm.account_id)


def test_no_node_says_that_it_ran_before_it_had_the_task(market: Compute, hours: Hours) -> None:
    node_id, task_id = market.node(market.provider()), market.order()
    [claim] = market.claim(node_id)
    claimed_at = hours.now
    hours.wait(5)
    assert market.renew(node_id, claim, 1e300)
    assert market.view(task_id).task.running_at == claimed_at


def test_silence_after_the_last_sign_of_life_is_not_paid_for(market: Compute, hours: Hours) -> None:
    farm, task_id = market.provider(), market.order()
    market.accept(farm, task_id)
    market.start(farm, task_id)
    hours.wait(400)  # its lease is 300 s, and no sweep has looked yet
    assert market.cancel(task_id).task.billed_seconds == 300
    market.assert_settled(task_id, farm.account_id)


def test_a_node_that_ends_a_task_at_its_limit_is_paid_for_all_of_it(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    node_id, task_id = market.node(farm), market.order()
    [claim] = market.claim(node_id)
    hours.wait(998)
    assert market.renew(node_id, claim, 1.0)  # the last that it told of
    assert market.node_fails(claim, "TIME_LIMIT") == "cancelled"
    assert (market.view(task_id).status, market.view(task_id).task.billed_seconds) == ("timeout", 998)
    market.assert_settled(task_id, farm.account_id)


def test_a_node_that_says_time_is_up_too_soon_has_failed(market: Compute, hours: Hours) -> None:
    node_id, task_id = market.node(market.provider()), market.order()
    [claim] = market.claim(node_id)
    market.renew(node_id, claim, 900.0)
    hours.wait(100)
    assert market.node_fails(claim, "TIME_LIMIT") == "queued"
    assert market.view(task_id).status == "pending"


def test_a_node_that_never_ends_a_task_is_ended_with_it_by_the_hub(market: Compute, hours: Hours) -> None:
    farm = market.provider()
    node_id, task_id = market.node(farm), market.order()
    [claim] = market.claim(node_id)
    for _ in range((1000 + PULL_SECONDS) // 50 + 1):
        market.renew(node_id, claim, 950.0)
        hours.wait(50)
        market.sweep()
    view = market.view(task_id)
    assert (view.status, view.task.billed_seconds) == ("timeout", 950)
    assert not market.renew(node_id, claim, 2000.0) and not market.complete(task_id, 1.0, (claim.attempt_id, claim.fence))
    market.assert_settled(task_id, farm.account_id)


def test_a_result_a_cancellation_and_the_end_of_time_at_once_are_one_end(market: Compute, hours: Hours) -> None:
    """Of all ends at one moment one counts, and the money is moved once."""
    farm = market.provider()
    for _ in range(5):
        task_id = market.order(timeout_seconds=100)
        market.accept(farm, task_id)
        market.start(farm, task_id)
        hours.wait(101)
        start = Barrier(4)
        unit = market.view(task_id).unit

        def run(act: Callable[[], object], start: Barrier = start) -> None:
            start.wait()
            try:
                act()
            except Conflict:
                pass

        ends = [
            lambda: market.complete(task_id, 50.0, (unit.attempt_id, unit.fence)),  # noqa: B023
            lambda: market.cancel(task_id),  # noqa: B023
            market.sweep,
            lambda: market.fail(farm, task_id),  # noqa: B023
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, ends))
        if market.view(task_id).status == "pending":  # the failure came first, and nothing after it
            market.cancel(task_id)
        market.assert_settled(task_id, farm.account_id)


def test_raising_the_price_holds_more_and_lowering_it_gives_back(market: Compute) -> None:
    task_id = market.order()
    assert market.change(task_id, max_price_minor=72_000_000).job.price_minor == 20_000_000
    assert (market.money(), market.money("held")) == ("80.00", "20.00")
    market.change(task_id, max_price_minor=18_000_000, priority="high")
    assert (market.money(), market.money("held")) == ("95.00", "5.00")
    with pytest.raises(PaymentRequired):
        market.change(task_id, max_price_minor=3_600_000_000)
    assert market.view(task_id).task.max_price_minor == 18_000_000
    market.accept(market.provider(), task_id)
    with pytest.raises(Conflict, match="taken"):
        market.change(task_id, max_price_minor=9_000_000)
    market.change(task_id, max_price_minor=36_000_000)
    assert market.view(task_id).task.price_minor == 18_000_000, "whoever has it keeps the price that it was taken for"
    market.cancel(task_id)
    market.assert_settled(task_id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE task_holds SET amount_minor = amount_minor + 1 WHERE state = 'held'",
        "UPDATE task_holds SET state = 'held' WHERE state = 'captured'",
        "UPDATE task_holds SET state = 'released' WHERE state = 'held'",
        "UPDATE tasks SET billed_minor = billed_minor + 1",
        "UPDATE jobs SET state = 'cancelled' WHERE state = 'open'",
    ],
)
def test_the_audit_finds_what_was_done_to_a_task_behind_its_back(market: Compute, hours: Hours, change: str) -> None:
    farm, task_id = market.provider(), market.order()
    market.order()
    market.accept(farm, task_id)
    market.start(farm, task_id)
    hours.wait(10)
    market.complete(task_id, 10.0)
    market.assert_conserved(farm.account_id)
    with market.database.unit_of_work() as session:
        session.execute(text(change))
    with market.database.unit_of_work() as session:
        assert audit.differences(session) != []
