"""A long run in which something is always being killed. Afterwards every job has ended once and the books balance."""

import os
import random
import threading
import time

import psycopg
import pytest

from app.config import Settings
from app.core import audit
from app.db import Database, make_engine
from tests.chaos.killing import kill_until
from tests.chaos.renders import buy, problems_of
from tests.e2e.conftest import running_stack

SECONDS = int(os.environ.get("CHAOS_SECONDS", "240"))
CLIENTS = 4

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(SECONDS + 900)]


def test_nothing_is_lost_or_doubled_while_everything_is_killed(tmp_path_factory: pytest.TempPathFactory, cube: bytes) -> None:
    home = tmp_path_factory.mktemp("chaos")
    chance = random.Random(os.environ.get("CHAOS_SEED", "1"))
    jobs: list[tuple[str, str]] = []
    errors: list[str] = []
    with running_stack(home, NODES="3", LEASE_SECONDS="10", MAX_ATTEMPTS="1000") as endpoints:
        until = time.monotonic() + SECONDS
        clients = [threading.Thread(target=buy, args=(endpoints, cube, until, jobs, errors)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        kills = kill_until(until, {home: 1}, chance)
        for client in clients:
            client.join(600)
        assert not any(client.is_alive() for client in clients)
        print(f"\n{len(jobs)} jobs, kills: {dict(kills)}")
        assert errors == []
        assert len(jobs) > CLIENTS
        assert_books(endpoints, jobs)


def assert_books(endpoints: dict[str, str], jobs: list[tuple[str, str]]) -> None:
    database = Database(make_engine(Settings(database_url=endpoints["database_url"])))
    with psycopg.connect(endpoints["database_url"]) as connection:
        for job, signature in jobs:
            assert problems_of(connection, job, signature) == {}
        assert connection.execute("SELECT count(*) FROM outbox_messages").fetchone() == (0,)
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
    database.engine.dispose()
