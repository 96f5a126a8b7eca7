"""Many at once on one job: whoever ends, completes, renews or takes back units never waits in a ring."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select, update

from app.core import audit, completions, doorbells, jobs, outcomes
from app.core.claims import Claim
from app.core.completions import Finished
from app.db import Database
from app.models.jobs import Attempt, Job, WorkUnit
from tests.factories.market import Marketplace

LIMITS = (3, 5)


def states(database: Database, job_id: uuid.UUID) -> dict[str, int]:
    with database.unit_of_work() as session:
        rows = session.execute(select(WorkUnit.state, func.count()).where(WorkUnit.job_id == job_id).group_by(WorkUnit.state))
        return {row[0]: row[1] for row in rows}


def test_a_storm_on_one_job_neither_deadlocks_nor_pays_twice(database: Database) -> None:
    market = Marketplace(database)
    job_id = market.paid_job(frames=40)
    nodes = [market.node(f"n{index}") for index in range(6)]

    def work(index: int) -> None:
        chance = random.Random(index)
        for _ in range(25):
            held = market.claim(nodes[index], chance.randint(1, 4))
            pairs = [(item.attempt_id, item.fence) for item in held]
            chance.shuffle(pairs)
            with database.unit_of_work() as session:
                jobs.renew(session, nodes[index], [(*pair, 0.5) for pair in pairs], 60)
            for pair in pairs[:1]:
                with database.unit_of_work() as session:
                    outcomes.release(session, *pair)
            with database.unit_of_work() as session:
                completions.complete(session, [Finished(*pair, "key", "0" * 64, 1, 0.1) for pair in pairs[1:]])
            with database.unit_of_work() as session:
                outcomes.expire_leases(session, LIMITS)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, index) for index in range(6)]:
            done.result()
    with database.unit_of_work() as session:
        job = session.get_one(Job, job_id)
        counted = session.scalar(select(func.count()).where(Attempt.state == "completed"))
        assert job.units_completed == states_sum(session, job_id) == counted
        assert audit.differences(session) == []


def states_sum(session, job_id: uuid.UUID) -> int:
    query = select(func.count()).where(WorkUnit.job_id == job_id, WorkUnit.state == "completed")
    return int(session.scalar(query) or 0)


def test_ending_a_job_while_nodes_complete_it_refunds_exactly_what_is_not_done(database: Database) -> None:
    market = Marketplace(database)
    for seed in range(8):
        job_id = market.paid_job(frames=12)
        node = market.node(f"late{seed}")
        held = market.claim(node, 12)

        def complete(item: Claim) -> None:
            with database.unit_of_work() as session:
                done = Finished(item.attempt_id, item.fence, "key", "0" * 64, 1, 0.1)
                completions.complete(session, [done])

        def end(job_id: uuid.UUID = job_id) -> None:
            with database.unit_of_work() as session:
                outcomes.fail_job(session, job_id, "PROVIDER_FAILED", "said so")

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(complete, item) for item in held[:6]]
            running.append(pool.submit(end))
            running += [pool.submit(complete, item) for item in held[6:]]
            for one in running:
                one.result()
        found = states(database, job_id)
        assert sum(found.values()) == 12 and set(found) <= {"completed", "cancelled"}
        market.assert_money_fits(job_id)


def test_the_queues_of_idle_nodes_are_rung_and_nobody_elses(database: Database) -> None:
    market = Marketplace(database)
    rung: list[str] = []
    with market.listening(rung):
        market.paid_job(frames=3)
        assert rung == [], "nobody listens, so nothing may pile up in a queue"
        trusted = market.node("trusted", is_trusted=True)
        stranger = market.node("stranger", is_trusted=False)
        market.make_stale()
        with database.unit_of_work() as session:
            assert doorbells.ring_again(session, 2) == 3
        assert sorted(rung) == ["render", f"render.{market.provider_id}"]
        rung.clear()
        assert len(market.claim(trusted, 1)) == len(market.claim(stranger, 1)) == 1
        market.make_stale()
        with database.unit_of_work() as session:
            assert doorbells.ring_again(session, 2) == 1
        assert rung == [], "busy nodes claim again by themselves"


def test_a_node_takes_its_own_providers_units_first_then_those_of_no_provider(database: Database) -> None:
    market, other = Marketplace(database), Marketplace(database)
    mine, theirs, shared = market.paid_job(2), other.paid_job(2), market.paid_job(3)
    with database.unit_of_work() as session:
        session.execute(update(WorkUnit).where(WorkUnit.job_id == shared).values(provider_id=None, priority=9))
    trusted, stranger = market.node("trusted"), market.node("stranger", is_trusted=False)
    claimed = [item.job.id for item in market.claim(trusted, 3)]
    assert sorted(claimed) == sorted([mine, mine, shared])
    assert [item.job.id for item in market.claim(stranger, 1)] == [shared], "enrolled nodes work for them too"
    assert [item.job.id for item in market.claim(trusted, 5)] == [shared]
    assert theirs not in claimed
