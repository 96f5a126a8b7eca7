"""Marks become records, and records a standing: each once, none bought."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.core import presence, reputation
from app.core.reputation import NEWCOMER
from app.db import Database
from app.models.nodes import Provider
from app.models.reputation import ProviderMark
from app.values import clock
from app.values.money import Money
from app.values.reputation import WEIGHTS, Outcome
from tests.factories.compute import a_provider, an_account

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAID = Money(1_000_000, "USDC")
DONE = Outcome.COMPLETED


@pytest.fixture(autouse=True)
def _clock_again() -> Iterator[None]:
    yield
    clock.replace_clock(None)


def set_day(day: float) -> None:
    clock.replace_clock(lambda: START + timedelta(days=day))


def clients(database: Database, count: int) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        return [an_account(session) for _ in range(count)]


def note(database: Database, provider_id: uuid.UUID, client_id: uuid.UUID, outcome: Outcome = DONE, count: int = 1) -> None:
    with database.unit_of_work() as session:
        for _ in range(count):
            reputation.note(session, provider_id, client_id, outcome, uuid.uuid4(), PAID if WEIGHTS[outcome][0] else None)


def score(database: Database, provider_id: uuid.UUID) -> float:
    with database.unit_of_work() as session:
        reputation.fold(session)
    with database.unit_of_work() as session:
        return reputation.read(session, provider_id).score


def an_honest_one(database: Database, days: int = 30, among: int = 5) -> uuid.UUID:
    """A task a day, each day for another client."""
    provider_id, known = a_provider(database), clients(database, among)
    with database.unit_of_work() as session:
        for day in range(days):
            set_day(day)
            reputation.note(session, provider_id, known[day % among], DONE, uuid.uuid4(), PAID)
    return provider_id


def test_a_mark_counts_once_however_often_it_is_noted_and_folded(database: Database) -> None:
    provider_id, attempt_id, (client_id,) = a_provider(database), uuid.uuid4(), clients(database, 1)
    for _ in range(3):
        with database.unit_of_work() as session:
            reputation.note(session, provider_id, client_id, DONE, attempt_id, PAID, seconds=7)
        score(database, provider_id)
    with database.unit_of_work() as session:
        found = reputation.read(session, provider_id)
        assert (round(found.good, 6), found.bad, found.clients, found.days) == (1.0, 0.0, 1, 1)
        assert session.scalar(select(func.count()).select_from(ProviderMark)) == 1


def test_folds_beside_each_other_add_every_mark_once(database: Database) -> None:
    providers, known = [a_provider(database) for _ in range(3)], clients(database, 4)
    set_day(0)

    def work(number: int) -> None:
        for turn in range(10):
            note(database, providers[(number + turn) % 3], known[number])
            with database.unit_of_work() as session:
                reputation.fold(session)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for provider_id in providers:
        score(database, provider_id)
    with database.unit_of_work() as session:
        assert session.scalar(select(func.count()).where(ProviderMark.folded_at.is_(None))) == 0
        assert round(sum(reputation.read(session, provider_id).good for provider_id in providers), 6) == 40.0


def test_a_new_identity_cannot_buy_what_an_honest_provider_has_earned(database: Database) -> None:
    """Not with itself as its client, not with one friend's many tasks, not with many friends in a day."""
    honest = an_honest_one(database)
    bought, friend, crowd = a_provider(database), a_provider(database), a_provider(database)
    with database.unit_of_work() as session:
        itself = session.get_one(Provider, bought).account_id
    note(database, bought, itself, count=50)
    note(database, friend, clients(database, 1)[0], count=200)
    for client_id in clients(database, 40):
        note(database, crowd, client_id, count=5)
    earned = score(database, honest)
    assert score(database, bought) == 0.0
    assert 0 < score(database, friend) < score(database, crowd) < earned / 2


def test_work_that_cost_nothing_or_was_called_off_says_nothing(database: Database) -> None:
    provider_id, (client_id,) = a_provider(database), clients(database, 1)
    with database.unit_of_work() as session:
        reputation.note(session, provider_id, client_id, DONE, uuid.uuid4(), Money(0, "USDC"))
        reputation.note(session, provider_id, client_id, DONE, uuid.uuid4())
        reputation.note(session, provider_id, client_id, Outcome.CANCELLED, uuid.uuid4(), PAID)
    assert score(database, provider_id) == 0.0
    with database.unit_of_work() as session:
        assert reputation.read(session, provider_id) == NEWCOMER


def test_failures_lateness_and_disputes_cost_and_a_bad_result_the_most(database: Database) -> None:
    ends = (None, Outcome.TIMEOUT, Outcome.LOST, Outcome.LATE, Outcome.FAILED, Outcome.DISPUTED)
    scores = {}
    for end in ends:
        provider_id = an_honest_one(database)
        if end is not None:
            note(database, provider_id, clients(database, 1)[0], end)
        scores[end] = round(score(database, provider_id), 9)
    assert scores[None] > scores[Outcome.TIMEOUT] > scores[Outcome.LATE] == scores[Outcome.LOST]
    assert scores[Outcome.LOST] > scores[Outcome.FAILED] > scores[Outcome.DISPUTED]
    assert scores[Outcome.DISPUTED] < 0.8 * scores[None]


def test_one_client_neither_makes_nor_breaks_a_provider(database: Database) -> None:
    """Its hundreds of complaints weigh like ten, and so does its praise."""
    provider_id = an_honest_one(database)
    before = score(database, provider_id)
    note(database, provider_id, clients(database, 1)[0], Outcome.FAILED, count=200)
    with database.unit_of_work() as session:
        reputation.fold(session)
    with database.unit_of_work() as session:
        assert round(reputation.read(session, provider_id).bad, 6) == 10.0
    assert before / 2 < score(database, provider_id) < before


def test_a_proven_bad_result_is_not_lost_among_one_clients_praise(database: Database) -> None:
    provider_id, known = a_provider(database), clients(database, 2)
    for client_id in known:
        note(database, provider_id, client_id, count=100)
    before = score(database, provider_id)
    note(database, provider_id, known[0], Outcome.DISPUTED)
    with database.unit_of_work() as session:
        reputation.fold(session)
    with database.unit_of_work() as session:
        found = reputation.read(session, provider_id)
        assert (round(found.good, 6), round(found.bad, 6)) == (20.0, 10.0) and found.score < 0.7 * before


def test_old_records_fade_for_good_and_for_ill(database: Database) -> None:
    provider_id, (client_id,) = a_provider(database), clients(database, 1)
    set_day(0)
    note(database, provider_id, client_id, Outcome.FAILED, count=4)
    score(database, provider_id)
    set_day(reputation.HALF_LIFE_DAYS)
    score(database, provider_id)
    with database.unit_of_work() as session:
        assert round(reputation.read(session, provider_id).bad, 6) == 2.0
    note(database, provider_id, client_id, Outcome.FAILED)
    score(database, provider_id)
    with database.unit_of_work() as session:
        assert round(reputation.read(session, provider_id).bad, 6) == 3.0


def test_the_better_reputed_of_those_present_see_a_task_first(database: Database) -> None:
    honest, newcomer = an_honest_one(database), a_provider(database)
    worth = score(database, honest)

    def wait(provider_id: uuid.UUID | None) -> float:
        with database.unit_of_work() as session:
            return reputation.head_start_seconds(session, provider_id, 10, 90)

    assert wait(newcomer) == 0.0  # nobody better is there
    with database.unit_of_work() as session:
        presence.note(session, honest, "online")
    assert wait(newcomer) == wait(None) == pytest.approx(10 * worth) and worth > 0.5
    assert wait(honest) == 0.0
    with database.unit_of_work() as session:
        presence.note(session, honest, "maintenance")
    assert wait(newcomer) == 0.0
