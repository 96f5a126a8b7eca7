"""A long run in which something is always being killed. Afterwards every job has ended once and the books balance."""

import json
import os
import random
import signal
import threading
import time
import uuid
from pathlib import Path

import psutil
import psycopg
import pytest
from tqdm import tqdm

from app.config import Settings
from app.core import audit
from app.db import Database, make_engine
from tests.e2e.artist import Artist
from tests.e2e.conftest import running_stack

SECONDS = int(os.environ.get("CHAOS_SECONDS", "240"))
CLIENTS = 4
FRAMES = 4
SETTINGS = {"resolution": {"width": 32, "height": 24}, "samples": 1, "frames": {"start": 1, "end": FRAMES}}
# How often each is chosen. The chain keeps a journal, PostgreSQL its log; Valkey may lose every message.
WEIGHTS = {"api": 4, "worker": 3, "beat": 1, "poller": 1, "node": 4, "valkey": 1, "postgres": 1, "devnet": 1}

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(SECONDS + 900)]


def kill_something(home: Path, chance: random.Random) -> str | None:
    """kill -9 one process of a random role: the supervised one itself, or one of its children."""
    processes = json.loads((home / "processes.json").read_text())
    roles = [role for role in WEIGHTS if processes.get(role)]
    role = chance.choices(roles, [WEIGHTS[role] for role in roles])[0]
    try:
        process = psutil.Process(chance.choice(processes[role]))
        victim = chance.choice([process, *process.children(recursive=role != "postgres")])
        victim.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return None
    return role


def buy(endpoints: dict[str, str], scene: bytes, until: float, jobs: list[tuple[str, str]], errors: list[str]) -> None:
    """A client that orders until the time is over, and then waits for its last job."""
    artist = Artist(endpoints, patience_seconds=120)
    while time.monotonic() < until:
        try:
            payment = artist.quote(scene, SETTINGS)
            signature = artist.send_money(payment)
            jobs.append((payment["jobId"], signature))
            artist.announce(payment, signature)
            artist.wait(payment["jobId"], seconds=300)
        except Exception as error:  # noqa: BLE001  a thread has nobody else to tell
            errors.append(repr(error))
            return


def test_nothing_is_lost_or_doubled_while_everything_is_killed(tmp_path_factory: pytest.TempPathFactory, cube: bytes) -> None:
    home = tmp_path_factory.mktemp("chaos")
    chance = random.Random(os.environ.get("CHAOS_SEED", "1"))
    jobs: list[tuple[str, str]] = []
    errors: list[str] = []
    kills: dict[str, int] = {}
    with running_stack(home, NODES="3", LEASE_SECONDS="10", MAX_ATTEMPTS="1000") as endpoints:
        until = time.monotonic() + SECONDS
        clients = [threading.Thread(target=buy, args=(endpoints, cube, until, jobs, errors)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        with tqdm(total=SECONDS, unit="s", desc="killing") as bar:
            while time.monotonic() < until:
                pause = chance.uniform(1, 6)
                time.sleep(pause)  # the pace of the faults, not a wait for anything
                bar.update(round(pause))
                role = kill_something(home, chance)
                if role is not None:
                    kills[role] = kills.get(role, 0) + 1
        for client in clients:
            client.join(600)
        assert not any(client.is_alive() for client in clients)
        print(f"\n{len(jobs)} jobs, kills: {kills}")
        assert errors == []
        assert len(jobs) > CLIENTS
        assert_books(endpoints, jobs)


def assert_books(endpoints: dict[str, str], jobs: list[tuple[str, str]]) -> None:
    database = Database(make_engine(Settings(database_url=endpoints["database_url"])))
    with psycopg.connect(endpoints["database_url"]) as connection:
        for job, signature in jobs:
            job_id = uuid.UUID(job)
            state = connection.execute("SELECT state, payment_state FROM jobs WHERE id = %s", [job_id]).fetchone()
            assert state == ("completed", "confirmed"), job
            query = "SELECT reference FROM transfers WHERE job_id = %s ORDER BY reference"
            references = [row[0] for row in connection.execute(query, [job_id])]
            assert references == [f"fee:{job_id}:debt", f"payment:solana:{signature}"]
            counted = connection.execute(
                "SELECT u.frame, count(*) FROM work_units u JOIN attempts a ON a.unit_id = u.id AND a.state = 'completed'"
                " WHERE u.job_id = %s AND u.kind = 'frame' GROUP BY u.frame ORDER BY u.frame",
                [job_id],
            ).fetchall()
            assert counted == [(frame, 1) for frame in range(1, FRAMES + 1)]
        assert connection.execute("SELECT count(*) FROM outbox_messages").fetchone() == (0,)
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
    database.engine.dispose()
