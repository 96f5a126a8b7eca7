"""A still in tiles: charged one by one, stitched once by whoever comes, and whole whatever dies on the way."""

import io
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text

from app.adapters.storage.local import LocalStore
from app.config import Settings
from app.core import render_orders, render_stitches
from app.db import Database
from app.failpoints import FAILPOINTS
from app.flows import retention, stitching
from app.flows.stitching import BUSY, MADE, NOTHING
from app.values.money import parse
from tests.factories.task_market import moving_clock
from tests.factories.tiled_stills import TiledStills, whole

ROOT = Path(__file__).parent.parent.parent
POINTS = [name for name in FAILPOINTS if name.startswith("stitch.")]


@pytest.fixture
def stills(database: Database, tmp_path: Path) -> TiledStills:
    settings = Settings()
    return TiledStills(database, LocalStore(tmp_path / "files", settings.secret_key, settings.base_url))


def ordered_stitches(stills: TiledStills) -> list[str]:
    return ordered(stills, "renders.stitch")


def ordered(stills: TiledStills, topic: str) -> list[str]:
    """What the outbox holds for the hub's worker."""
    with stills.database.unit_of_work() as session:
        return list(session.scalars(text("SELECT key FROM outbox_messages WHERE topic = :topic"), {"topic": topic}))


def stitch(stills: TiledStills, job_id: uuid.UUID) -> str:
    return stitching.stitch(stills.database, stills.store, job_id)


def assert_whole(stills: TiledStills, job_id: uuid.UUID) -> None:
    unit = stills.stitched(job_id)
    assert (unit.kind, unit.state, unit.frame, unit.tile) == ("stitch", "completed", 7, None)
    with stills.store.open(unit.result_key) as file:
        data = file.read()
    assert Image.open(io.BytesIO(data)).tobytes() == whole().tobytes()
    assert stills.store.stat(unit.result_key).sha256 == unit.result_sha256 and unit.result_bytes == len(data)


def test_tiles_are_charged_one_by_one_and_stitched_once(stills: TiledStills) -> None:
    with moving_clock() as seconds:
        nodes = [stills.node(), stills.node()]
        job_id = stills.still()
        assert stills.job(job_id).units_total == 7
        for number, node in enumerate(nodes * 3, 1):
            (taken,) = stills.claim(node)
            assert taken.kind == "tile" and taken.frame == 7 and taken.tile is not None
            seconds.wait(4)
            assert ordered_stitches(stills) == []
            stills.finish([taken])
            assert stills.order(job_id).charged_minor == parse("0.04", "RCREDIT").minor * number
            assert stills.job(job_id).state == "open"
        assert stills.claim(nodes[0], 9) == [], "what is left is nobody's but the hub's"
        assert ordered_stitches(stills) == [str(job_id)]
        assert stitch(stills, job_id) == MADE
        assert stitch(stills, job_id) == NOTHING, "again is harmless"
    job = stills.job(job_id)
    assert (job.state, job.units_completed) == ("completed", 7)
    assert stills.order(job_id).charged_minor == parse("0.24", "RCREDIT").minor
    assert [unit.cost_minor is None for unit in stills.units(job_id)] == [False] * 6 + [True]
    assert_whole(stills, job_id)
    stills.assert_conserved(job_id, *nodes)


def test_all_that_was_quoted_may_be_spent_on_tiles(stills: TiledStills) -> None:
    with moving_clock() as seconds:
        node = stills.node()
        job_id = stills.still()
        while taken := stills.claim(node, 6):
            seconds.wait(1000)
            stills.finish(taken)
        order = stills.order(job_id)
        assert order.charged_minor == order.bound_minor, "nothing of it is kept back for the hub's own part"
        assert stitch(stills, job_id) == MADE
    assert_whole(stills, job_id)
    stills.assert_conserved(job_id, node)


def test_a_cap_pauses_between_tiles_and_never_before_the_stitching(stills: TiledStills) -> None:
    with moving_clock() as seconds:
        node = stills.node()
        job_id = stills.still(max_amount=parse("0.3", "RCREDIT"))
        while taken := stills.claim(node):
            seconds.wait(10)
            stills.finish(taken)
        job = stills.job(job_id)
        assert (job.state, job.reason_code, job.units_completed) == ("paused", "MAX_AMOUNT_REACHED", 3)
        assert stitch(stills, job_id) == NOTHING, "tiles are missing"
        with stills.database.unit_of_work() as session:
            render_orders.set_cap(session, stills.account_id, job_id, parse("0.599", "RCREDIT"))
        while taken := stills.claim(node):
            seconds.wait(9)
            stills.finish(taken)
        assert stills.job(job_id).state == "open"
        with stills.database.unit_of_work() as session:
            render_orders.pause(session, stills.account_id, job_id)
            render_orders.resume(session, stills.account_id, job_id)
        assert stitch(stills, job_id) == MADE
    assert stills.job(job_id).state == "completed"
    stills.assert_conserved(job_id, node)


def test_workers_at_the_same_time_make_one_picture(stills: TiledStills) -> None:
    node, job_id = stills.node(), stills.still()
    stills.finish(stills.claim(node, 6))
    made: list[str] = []

    def work() -> None:
        made.append(stitch(stills, job_id))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made.count(MADE) == 1 and set(made) <= {MADE, NOTHING, BUSY}
    assert_whole(stills, job_id)
    assert stills.job(job_id).units_completed == 7


def test_tiles_that_cannot_be_one_picture_end_the_job_with_the_reason(stills: TiledStills) -> None:
    node, job_id = stills.node(), stills.still()
    taken = stills.claim(node, 6)
    stills.finish(taken[:5])
    stills.finish(taken[5:], mode="L")
    assert stitch(stills, job_id) == NOTHING
    job = stills.job(job_id)
    assert (job.state, job.reason_code) == ("failed", "STITCH_FAILED") and "differ in depth" in (job.error_message or "")
    assert stills.stitched(job_id).state == "cancelled"
    assert stitch(stills, job_id) == NOTHING
    stills.assert_conserved(job_id, node)


def test_a_job_that_was_called_off_is_not_stitched(stills: TiledStills) -> None:
    node, job_id = stills.node(), stills.still()
    stills.finish(stills.claim(node, 6))
    with stills.database.unit_of_work() as session:
        render_orders.cancel(session, stills.account_id, job_id)
    assert stitch(stills, job_id) == NOTHING
    assert stills.job(job_id).state == "cancelled"
    stills.assert_conserved(job_id, node)


def test_tiles_go_once_the_job_is_over_and_so_does_a_picture_that_came_too_late(stills: TiledStills) -> None:
    node, made, dropped = stills.node(), stills.still(), stills.still()
    for job_id in (made, dropped):
        stills.finish(stills.claim(node, 6))
        assert retention.delete_tiles(stills.database, stills.store, job_id) == 0, "they are needed"
    assert stitch(stills, made) == MADE
    with stills.database.unit_of_work() as session:
        work = render_stitches.take(session, dropped)
        render_orders.cancel(session, stills.account_id, dropped)
    assert work is not None
    stitching.write(stills.database, stills.store, work)
    for job_id in (made, dropped):
        assert ordered(stills, "renders.delete_tiles").count(str(job_id)) == 1
        assert retention.delete_tiles(stills.database, stills.store, job_id) == 6
    assert_whole(stills, made)
    folders = [stills.store.path(name) for name in ("accepted", "stitched")]
    assert [path.name for folder in folders for path in folder.rglob("*") if path.is_file()] == [str(stills.stitched(made).id)]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at(stills: TiledStills, database_url: str, tmp_path: Path, point: str) -> None:
    node, job_id = stills.node(), stills.still()
    stills.finish(stills.claim(node, 6))
    (tmp_path / point).touch()
    command = [sys.executable, str(ROOT / "tests" / "flows" / "stitching_process.py"), database_url, str(tmp_path / "files")]
    environment = {**os.environ, "LIGHTYARD_FAILPOINTS_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert subprocess.run([*command, str(job_id)], env=environment, timeout=120).returncode == -signal.SIGKILL
    assert not (tmp_path / point).exists() and stills.job(job_id).state == "open"
    assert ordered_stitches(stills) == [str(job_id)], "the order to stitch outlives whoever took it"
    assert stitch(stills, job_id) == BUSY, "for all that anybody knows"
    with moving_clock() as seconds:
        seconds.wait(render_stitches.TURN_SECONDS + 1)
        assert stitch(stills, job_id) == MADE
    assert_whole(stills, job_id)
    files = [path for path in stills.store.path("stitched").rglob("*") if path.is_file()]
    assert len(files) == 1, "whoever comes after writes to the same place"
    stills.assert_conserved(job_id, node)
