"""One render, many at once: nodes that work, one that fails, an owner who pauses and goes on, sweeps in between."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from app.core import allocation, outcomes, render_blocks, render_nodes, render_orders
from app.db import Database
from app.errors import Conflict
from app.models.jobs import Attempt
from tests.factories.render_market import LIMITS, Renders

FRAMES = 30
TERMS = render_nodes.Terms(silence_seconds=90, open_nodes=True, guess_seconds=60, economy_seconds=900)


def test_every_frame_counts_once_whoever_is_at_work_at_the_same_time(database: Database) -> None:
    renders = Renders(database)
    good, bad = [renders.node() for _ in range(3)], renders.node()
    job_id = renders.place(FRAMES, window_units=3)
    first = renders.claim(bad, 2)
    over = threading.Event()

    def until_over(act: Callable[[], object]) -> int:
        turns = 0
        while not over.is_set():
            act()
            turns += 1
            if renders.job(job_id).state in ("completed", "failed"):
                over.set()
        return turns

    def fails() -> None:
        for item in first or renders.claim(bad, 2):
            renders.node_fails(item)
        first.clear()

    def pauses() -> None:
        for verb in (render_orders.pause, render_orders.resume):
            try:
                with database.unit_of_work() as session:
                    verb(session, renders.account_id, job_id)
            except Conflict as refusal:
                assert refusal.code == "JOB_OVER"

    def sweeps() -> None:
        with database.unit_of_work() as session:
            allocation.look_again(session, TERMS, [job_id])
        with database.unit_of_work() as session:
            outcomes.expire_leases(session, LIMITS)

    def works(node_id: uuid.UUID) -> Callable[[], object]:
        return lambda: renders.complete(renders.claim(node_id, 2))

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(until_over, act) for act in (*(works(node) for node in good), fails, pauses, sweeps)]
        assert all(item.result(timeout=120) > 0 for item in running)
    assert renders.job(job_id).state == "completed"
    with database.unit_of_work() as session:
        ended = [(item.unit_id, item.node_id) for item in session.query(Attempt).filter_by(state="completed")]
        assert len({unit_id for unit_id, _ in ended}) == len(ended) == FRAMES
        failed = session.query(Attempt).filter_by(node_id=bad).all()
        assert {item.state for item in failed} == {"failed"} and len(failed) == 2  # those that it had when it first failed
        assert render_blocks.of_job(session, job_id) == [bad]
    assert {node for _, node in ended} <= set(good)
    renders.assert_conserved(job_id, *good, bad)
