"""Dispatch: who is offered what, who gets it then, and where the money goes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import update

from app.core import doorbells, jobs, nodes, outcomes, owned
from app.db import Database
from app.errors import Conflict, NotFound, PaymentRequired, Refused
from app.models.jobs import Job, WorkUnit
from app.models.nodes import Node, NodeToken
from app.values import clock
from app.values.states import UnitState
from tests.factories.dispatching import RULES, Dispatcher
from tests.factories.market import Marketplace


@pytest.fixture
def market(database: Database) -> Dispatcher:
    return Dispatcher(database)


def lead(market: Dispatcher, job_id) -> UnitState:
    with market.database.unit_of_work() as session:
        return owned.get(session, market.account_id, job_id).lead


def test_the_least_loaded_node_with_the_capability_is_chosen(market: Dispatcher) -> None:
    market.node("compute", load=0.9)
    quiet, _ = market.node("compute", load=0.1), market.node("render", load=0.0)
    assert market.dispatch("echo")[1] == quiet
    assert market.dispatch("cpu_benchmark")[1] != quiet, "an offer that stands is load, too"
    named = market.node("transcode")
    assert market.dispatch("transcode")[1] == named, "a node that registered the very name fits"


@pytest.mark.parametrize("trouble", ["silent", "broken", "draining", "unproven", "other", "nobody's"])
def test_no_healthy_node_that_fits_is_a_refusal_and_nothing_is_held(market: Dispatcher, trouble: str) -> None:
    node_id = market.node("render" if trouble == "other" else "compute", is_proven=trouble != "unproven")
    changes = {
        "silent": {"last_heartbeat_at": clock.now() - timedelta(seconds=91)},
        "broken": {"unhealthy_until": clock.now() + timedelta(seconds=9)},
        "draining": {"is_draining": True},
    }.get(trouble, {})
    if changes:
        with market.database.unit_of_work() as session:
            session.execute(update(Node).where(Node.id == node_id).values(**changes))
    with pytest.raises(Refused, match="No healthy nodes"):
        market.dispatch("echo", rules=replace(RULES, open_nodes=trouble != "nobody's"))
    assert (market.money(), market.money("held")) == ("1000.0000", "0.0000")


def test_short_credits_say_what_there_is(database: Database) -> None:
    market = Dispatcher(database, "3.5")
    market.node("compute")
    with pytest.raises(PaymentRequired) as refused:
        market.dispatch("echo", "10")
    assert refused.value.details == {"available": "3.5000", "requested": "10.0000"}
    assert market.money() == "3.5000"


def test_an_offer_is_its_nodes_alone_until_it_lapses(market: Dispatcher) -> None:
    first, second = market.node("compute"), market.node("compute", load=0.5)
    job_id, node_id = market.dispatch("echo")
    assert node_id == first
    assert lead(market, job_id) == UnitState.ASSIGNED
    assert market.claim(second) == []
    assert [item.job.id for item in market.claim(first)] == [job_id]
    late, node_id = market.dispatch("echo", rules=replace(RULES, offer_seconds=2))
    assert node_id == second
    market.hasten(3)
    assert [item.job.id for item in market.claim(first)] == [late], "after a while anybody who fits may have it"


def test_a_lapsed_offer_is_withdrawn_by_the_sweep_and_everybody_is_rung(market: Dispatcher) -> None:
    market.node("compute")
    job_id, _ = market.dispatch("echo")
    rung: list[str] = []
    with Marketplace(market.database).listening(rung):
        market.hasten(3)
        with market.database.unit_of_work() as session:
            assert doorbells.ring_again(session, 2) == 1
        assert rung == ["compute"] and lead(market, job_id) == UnitState.ASSIGNED, "its own node is rung again first"
        market.node("echo")
        market.hasten(3)
        with market.database.unit_of_work() as session:
            assert doorbells.ring_again(session, 2) == 1
    assert sorted(rung[1:]) == ["compute", "echo"] and lead(market, job_id) == UnitState.QUEUED


def test_many_dispatchers_at_once_spread_their_jobs_evenly(market: Dispatcher) -> None:
    nodes = [market.node("compute") for _ in range(4)]
    start = Barrier(8)

    def run(_: int) -> list:
        start.wait()
        return [market.dispatch("echo", "1")[1] for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        chosen = Counter(node for found in pool.map(run, range(8)) for node in found)
    assert set(chosen) == set(nodes)
    assert max(chosen.values()) - min(chosen.values()) <= 3, chosen
    assert (market.money(), market.money("held")) == ("960.0000", "40.0000")


def test_many_dispatchers_at_once_never_spend_more_than_there_is(database: Database) -> None:
    market = Dispatcher(database, "100")
    market.node("compute")

    def run(_: int) -> bool:
        try:
            market.dispatch("echo", "10")
        except PaymentRequired:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(run, range(25))) == 10
    assert (market.money(), market.money("held")) == ("0.0000", "100.0000")


def test_a_completed_job_pays_seventy_percent_to_whoever_did_it(market: Dispatcher) -> None:
    node_id = market.node("compute")
    job_id, _ = market.dispatch("echo", "10")
    [claim] = market.claim(node_id)
    assert market.complete(claim) and not market.complete(claim)
    assert (market.money(), market.money("held")) == ("990.0000", "0.0000")
    assert market.money("balance", "USDC", market.owner_of(node_id)) == "0.700000"
    assert str(market.platform("fees")) == "3.0000"
    assert market.job(job_id).state == "completed" and market.job(job_id).payment_state == "confirmed"
    market.assert_books_balance()


def test_a_free_job_moves_no_money(market: Dispatcher) -> None:
    node_id = market.node("echo")
    market.dispatch("echo", "0")
    assert market.complete(market.claim(node_id)[0])
    assert market.money() == "1000.0000" and market.money("balance", "USDC", market.owner_of(node_id)) == "0.000000"


def test_cancel_before_and_after_the_claim_releases_the_hold(market: Dispatcher) -> None:
    node_id = market.node("compute")
    offered, _ = market.dispatch()
    market.cancel(offered)
    assert market.claim(node_id) == []
    assigned, _ = market.dispatch()
    [claim] = market.claim(node_id)
    market.cancel(assigned)
    assert not market.complete(claim), "what comes late is refused"
    for job_id in (offered, assigned):
        job = market.job(job_id)
        assert (job.state, job.payment_state, job.error_message) == ("cancelled", "refunded", "Cancelled by user")
        with pytest.raises(Refused):
            market.cancel(job_id)
    assert (market.money(), market.money("held")) == ("1000.0000", "0.0000")
    market.assert_books_balance()


def test_what_runs_what_is_anothers_and_what_was_born_elsewhere_is_not_cancelled(market: Dispatcher) -> None:
    node_id = market.node("compute")
    job_id, _ = market.dispatch()
    [claim] = market.claim(node_id)
    with market.database.unit_of_work() as session:
        jobs.renew(session, node_id, [(claim.attempt_id, claim.fence, 0.5)], 60)
    with pytest.raises(Refused):
        market.cancel(job_id)
    with pytest.raises(NotFound):
        Dispatcher(market.database, "0").cancel(job_id)
    rayment = Marketplace(market.database).paid_job()
    with market.database.unit_of_work() as session:
        session.execute(update(Job).where(Job.id == rayment).values(account_id=market.account_id))
    with pytest.raises(Conflict):
        market.cancel(rayment)


def test_cancel_racing_completion_a_thousand_times_conserves_the_money(database: Database) -> None:
    races = 1000
    market = Dispatcher(database, str(races))
    node_id = market.node("compute")
    held = {}
    for _ in range(races // 50):
        made = market.dispatch_many(50, "1")
        found = market.claim(node_id, 50)
        assert {item.job.id for item in found} == made
        held |= {item.job.id: item for item in found}
    assert (market.money(), market.money("held")) == ("0.0000", f"{races}.0000")
    start = Barrier(2)

    def cancel() -> int:
        won = 0
        for job_id in held:
            start.wait()
            try:
                market.cancel(job_id)
                won += 1
            except Refused:
                pass
        return won

    def complete() -> int:
        won = 0
        for claim in held.values():
            start.wait()
            won += market.complete(claim)
        return won

    with ThreadPoolExecutor(2) as pool:
        cancelled, completed = pool.submit(cancel), pool.submit(complete)
        assert cancelled.result() + completed.result() == races
    assert cancelled.result() > 0 and completed.result() > 0, "a race that one side always wins proves nothing"
    assert (market.money(), market.money("held")) == (f"{cancelled.result()}.0000", "0.0000")
    assert market.platform("fees").minor == 3000 * completed.result()
    earned = market.money("balance", "USDC", market.owner_of(node_id))
    assert earned == f"{completed.result() * 0.07:.6f}"
    market.assert_books_balance()


def test_a_lost_lease_gives_the_unit_back_to_the_same_node_at_once(market: Dispatcher) -> None:
    node_id = market.node("compute")
    job_id, _ = market.dispatch()
    [claim] = market.claim(node_id)
    with market.database.unit_of_work() as session:
        session.execute(update(WorkUnit).values(lease_until=clock.now()))
        assert outcomes.expire_leases(session, (3, 5)) == 1
    market.hasten(5)
    [again] = market.claim(node_id)
    assert again.job.id == job_id and again.fence == claim.fence + 1


def test_whoever_is_enrolled_with_nobody_names_no_queue_of_the_brokers(market: Dispatcher) -> None:
    """On Valkey a queue is a list under its name: a stranger's kind of work could be the hub's own, or a limit's counter."""
    kind = "limit:sign-in-login:203.0.113.9"
    farm = Marketplace(market.database)
    with market.database.unit_of_work() as session:
        enrolled = {"name": "n", "public_key": "k", "capabilities": [kind], "machine": {}, "agent": ""}
        made = nodes.register(session, enrolled, nodes.get_provider(session, farm.provider_id), False)
        session.execute(update(NodeToken).where(NodeToken.id == made.token_id).values(proven_at=clock.now()))
        nodes.heartbeat(session, session.get_one(Node, made.node_id), {})
    rung: list[str] = []
    with farm.listening(rung):
        market.node(kind, "render")
        for _ in range(2):
            market.dispatch(kind, rules=replace(RULES, open_nodes=False))
        market.hasten(10)
        with market.database.unit_of_work() as session:
            assert doorbells.ring_again(session, 2) == 2
        market.dispatch(kind)  # where nodes of nobody may work: offered to one perhaps, and found by it when it asks
        assert set(rung) == {f"{kind}.{farm.provider_id}"}
        market.dispatch("render")
        assert "render" in rung
