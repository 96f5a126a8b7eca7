"""Whatever happens to a paid job, in whatever order, its money adds up at the end."""

from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core import completions, jobs, outcomes
from app.core.claims import Claim
from app.core.completions import Finished
from app.db import Database
from app.models.jobs import Job
from tests.factories.market import Marketplace

LIMITS = (3, 5)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["claim", "complete", "fail", "release", "lose", "repeat", "end"]), st.integers(0, 5)),
    max_size=30,
)


class Play:
    """One paid job and two nodes; attempts that were ever made stay known, so that late messages can be sent."""

    def __init__(self, market: Marketplace, frames: int) -> None:
        self.market, self.database = market, market.database
        self.job_id = market.paid_job(frames)
        self.nodes = [market.node("one"), market.node("two")]
        self.attempts: list[Claim] = []

    def step(self, event: str, number: int) -> None:
        if event == "claim":
            self.attempts += self.market.claim(self.nodes[number % 2], 1 + number)
        elif event == "lose":
            with self.database.unit_of_work() as session:
                session.execute(outcomes.update(outcomes.WorkUnit).values(lease_until=outcomes.clock.now()))
                outcomes.expire_leases(session, LIMITS)
        elif event == "end" and number == 0:
            with self.database.unit_of_work() as session:
                outcomes.fail_job(session, self.job_id, "PROVIDER_FAILED", "said so")
        elif self.attempts and event != "end":
            self._report(event, self.attempts[number % len(self.attempts)])

    def _report(self, event: str, attempt: Claim) -> None:
        pair = attempt.attempt_id, attempt.fence
        with self.database.unit_of_work() as session:
            if event in ("complete", "repeat"):
                completions.complete(session, [Finished(*pair, "key", "0" * 64, 1, 0.1)])
            elif event == "fail":
                outcomes.fail(session, *pair, "CRASHED", "boom", LIMITS)
            else:
                outcomes.release(session, *pair)

    def finish(self) -> None:
        """Whatever is left is ended by the provider."""
        with self.database.unit_of_work() as session:
            if not jobs.is_over(jobs.get(session, self.job_id)):
                outcomes.fail_job(session, self.job_id, "PROVIDER_FAILED", "said so")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(1, 7), events=EVENTS)
def test_price_equals_what_was_earned_and_what_is_owed_back(database: Database, frames: int, events: list) -> None:
    market = Marketplace(database)
    play = Play(market, frames)
    for event, number in events:
        play.step(event, number)
    play.finish()
    market.assert_money_fits(play.job_id)
    with database.unit_of_work() as session:
        job = session.get_one(Job, play.job_id)
        units = jobs.units_of(session, play.job_id)
    assert sum(unit.state == "completed" for unit in units) == job.units_completed
    assert {unit.state for unit in units} <= {"completed", "failed", "cancelled"}
    earned = job.price_minor if job.state == "completed" else job.price_minor * job.units_completed // frames
    fee = -market.balance("debt", market.owner_id) - (job.price_minor - earned)
    assert fee == int(Decimal(job.breakdown["platform_fee"]).scaleb(9) * earned / job.price_minor)
