"""kill -9 in the middle of every step: the job ends once, is paid once, every frame counts once, the ledger balances."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from app.config import Settings
from app.core import audit
from app.db import Database, make_engine
from app.failpoints import FAILPOINTS
from gpu_node.failpoints import FAILPOINTS as NODE_FAILPOINTS
from tests.e2e.artist import Artist
from tests.e2e.conftest import running_stack

FRAMES = 3
SETTINGS = {"resolution": {"width": 32, "height": 24}, "samples": 1, "frames": {"start": 1, "end": FRAMES}}
ELSEWHERE = {
    "push.sent": "tests/api, with a provider's own software",
    **{name: "tests/flows/test_x402.py" for name in FAILPOINTS if name.startswith("x402.")},
    **{name: "tests/flows/test_scene_crashes.py" for name in FAILPOINTS if name.startswith("scene.")},
    **{name: "tests/flows/test_stitching.py" for name in FAILPOINTS if name.startswith("stitch.")},
    **{name: "tests/flows/test_anchors.py" for name in FAILPOINTS if name.startswith("anchor.")},
    **{name: "tests/flows/test_payout_crashes.py" for name in FAILPOINTS if name.startswith(("payout.", "signer."))},
    **{name: "tests/flows/test_ton_payments.py" for name in FAILPOINTS if name.startswith("ton.")},
}
# A payment that is not announced is found by the hub's worker, so the worker is what dies; announced, it may be the API.
UNANNOUNCED = ["payment.presented", "payment.sighted", "payment.booking", "work.committed"]
POINTS = [
    *[(name, True) for name in FAILPOINTS if name not in ELSEWHERE],
    *[(name, False) for name in UNANNOUNCED],
    *[(name, True) for name in NODE_FAILPOINTS],
]


@dataclass
class Crashing:
    artist: Artist
    armed: Path
    database: Database
    database_url: str

    def arm(self, name: str) -> Path:
        (self.armed / name).touch()
        return self.armed / name


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashing]:
    home = tmp_path_factory.mktemp("crashes")
    armed = home / "armed"
    armed.mkdir()
    settings = {"NODES": "2", "LEASE_SECONDS": "8", "LIGHTYARD_FAILPOINTS_FOLDER": str(armed)}
    with running_stack(home, **settings) as endpoints:
        url = endpoints["database_url"]
        database = Database(make_engine(Settings(database_url=url)))
        yield Crashing(Artist(endpoints), armed, database, url)
        database.engine.dispose()


@pytest.mark.parametrize(("point", "announced"), POINTS)
def test_a_job_survives_a_crash_at(crashing: Crashing, cube: bytes, point: str, announced: bool) -> None:
    armed = crashing.arm(point)
    payment = crashing.artist.quote(cube, SETTINGS)
    signature = crashing.artist.send_money(payment)
    if announced:
        crashing.artist.announce(payment, signature)
    job = crashing.artist.wait(payment["jobId"])
    assert not armed.exists(), f"nobody passed {point}"
    assert job["status"] == "completed", job
    for frame in range(1, FRAMES + 1):
        assert crashing.artist.picture(payment["jobId"], frame).size == (32, 24)
    assert_booked_once(crashing, uuid.UUID(payment["jobId"]), signature)


def assert_booked_once(crashing: Crashing, job_id: uuid.UUID, signature: str) -> None:
    with psycopg.connect(crashing.database_url) as connection:
        references = [
            row[0]
            for row in connection.execute("SELECT reference FROM transfers WHERE job_id = %s ORDER BY reference", [job_id])
        ]
        counted = connection.execute(
            "SELECT u.frame, count(*) FROM work_units u JOIN attempts a ON a.unit_id = u.id AND a.state = 'completed'"
            " WHERE u.job_id = %s AND u.kind = 'frame' GROUP BY u.frame ORDER BY u.frame",
            [job_id],
        ).fetchall()
        live = connection.execute(  # of its frames: a scene of the quote that the crash cut off may be looked at yet
            "SELECT count(*) FROM work_units u JOIN attempts a ON a.unit_id = u.id AND a.state = 'live'"
            " WHERE u.job_id = %s AND u.kind = 'frame'", [job_id]
        ).fetchone()
    assert references == [f"fee:{job_id}:debt", f"payment:solana:{signature}"]
    assert counted == [(frame, 1) for frame in range(1, FRAMES + 1)]
    assert live == (0,)
    with crashing.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_every_failpoint_is_crashed_somewhere() -> None:
    assert {name for name, _ in POINTS} | set(ELSEWHERE) == {*FAILPOINTS, *NODE_FAILPOINTS}
