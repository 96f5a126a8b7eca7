"""What becomes of a task is what its provider is known for, and who is known for more sees the next one first."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from app.core import presence, reputation, resources, tasks
from app.db import Database
from app.models.nodes import Provider
from app.models.reputation import ProviderMark
from app.models.resources import Resource
from tests.factories.compute import a_resource
from tests.factories.task_market import Compute, Hours, moving_clock

CPU = {"type": "cpu", "gpu_count": 0, "gpu_memory_gb": None, "price_minor": 18_000_000}


@pytest.fixture
def market(database: Database) -> Compute:
    return Compute(database)


@pytest.fixture
def hours() -> Iterator[Hours]:
    with moving_clock() as found:
        yield found


def marks(market: Compute, provider: Provider) -> list[tuple[str, int, int]]:
    """(outcome, seconds, earned) of all that is noted of a provider, in the order in which it was."""
    with market.database.unit_of_work() as session:
        query = select(ProviderMark).where(ProviderMark.provider_id == provider.id).order_by(ProviderMark.created_at)
        return [(row.outcome, row.seconds, row.earned_minor) for row in session.scalars(query)]


def test_every_end_is_noted_once_with_what_it_took_and_brought(market: Compute, hours: Hours) -> None:
    """At a cent a second: 100 s are a dollar, of which 95 cents are earned; a limit of 1000 s is ten dollars."""

    def wait_and(act: Callable[[], object], seconds: float) -> Callable[[], object]:
        return lambda: (hours.wait(seconds), act())

    ends = {
        ("completed", 100, 950_000): lambda task: wait_and(lambda: market.complete(task, 100), 100),
        ("cancelled", 100, 950_000): lambda task: wait_and(lambda: market.cancel(task), 100),
        ("failed", 0, 0): lambda task: lambda: market.fail(provider, task, "HOST_BROKEN"),
        ("lost", 0, 0): lambda task: wait_and(market.sweep, 301),
        ("timeout", 1000, 9_500_000): lambda task: lambda: [
            (market.report(provider, task), market.sweep()) for _ in range(6) if not hours.wait(200)
        ],
    }
    for expected, end in ends.items():
        provider, task_id = market.provider(), market.order()
        market.accept(provider, task_id)
        market.start(provider, task_id)
        end(task_id)()
        market.sweep()
        assert marks(market, provider) == [expected]
        if not market.view(task_id).is_over:
            market.cancel(task_id)
    provider, task_id = market.provider(), market.order()
    market.accept(provider, task_id)  # and never begun
    hours.wait(301)
    market.sweep()
    assert marks(market, provider) == [("late", 0, 0)]


def test_a_task_keeps_the_price_of_its_resource_whatever_becomes_of_that(market: Compute, hours: Hours) -> None:
    provider, task_id = market.provider(), market.order()
    resource_id = a_resource(market.database, provider.id, **CPU)
    assert market.accept(provider, task_id).task.resource_id == resource_id
    with market.database.unit_of_work() as session:
        resources.change(session, provider.id, resource_id, {"price_minor": 36_000_000, "status": "offline"})
        assert resources.get_own(session, provider.id, resource_id).status == "busy"
    market.start(provider, task_id)
    hours.wait(100)
    assert market.complete(task_id, 100)
    assert market.earned(provider) == "0.48"  # half a cent a second, less the fee
    market.assert_settled(task_id, provider.account_id)
    with market.database.unit_of_work() as session:
        assert resources.get_own(session, provider.id, resource_id).status == session.get_one(Resource, resource_id).status
        resources.delete(session, provider.id, resource_id)


def test_a_newcomer_sees_a_task_when_the_better_reputed_had_their_chance(market: Compute, hours: Hours) -> None:
    good, newcomer = market.provider(), market.provider()
    for _ in range(5):
        task_id = market.order()
        market.accept(good, task_id)
        market.start(good, task_id)
        hours.wait(1)
        assert market.complete(task_id, 1)
        hours.wait(86_400)
    with market.database.unit_of_work() as session:
        reputation.fold(session)
        presence.note_alive(session, good.id)
        presence.note_alive(session, newcomer.id)
    with market.database.unit_of_work() as session:
        worth = reputation.read(session, good.id)
    assert (round(worth.good, 1), worth.bad, worth.clients, worth.days) == (4.9, 0.0, 1, 5)
    task_id = market.order()

    def sees(provider: Provider) -> bool:
        with market.database.unit_of_work() as session:
            return [view.job.id for view in tasks.available(session, provider.id, 10, 10, 90)] == [task_id]

    assert sees(good) and not sees(newcomer)
    hours.wait(10 * worth.score - 0.01)
    assert not sees(newcomer)
    hours.wait(0.02)
    assert sees(newcomer)
