"""Claims while others change the very rows they pick from."""

import threading
import uuid

from sqlalchemy import text

from app.db import Database
from tests.factories.market import Marketplace

LIMIT, CLAIMS_EACH, NODES = 10, 200, 4
TOUCH = text("""
    UPDATE work_units SET rung_at = now() WHERE id IN (
        SELECT id FROM work_units WHERE state = 'queued' ORDER BY random() LIMIT 100 FOR UPDATE SKIP LOCKED)
""")
GIVE_BACK = text("UPDATE work_units SET state = 'queued', attempt_id = NULL, lease_until = NULL WHERE id = ANY(:units)")


def test_a_claim_takes_no_more_than_it_asked_for_while_sweeps_touch_the_queue(database: Database) -> None:
    """A stress, since the rows must change between a statement's snapshot and its locks: it met the fault in most runs."""
    market = Marketplace(database)
    for _ in range(40):
        market.paid_job(frames=50)
    over, sizes, errors = threading.Event(), list[int](), list[Exception]()

    def sweep() -> None:
        while not over.is_set():
            with database.unit_of_work() as session:
                session.execute(TOUCH)

    def claim_and_release(node_id: uuid.UUID) -> None:
        try:
            for _ in range(CLAIMS_EACH):
                found = market.claim(node_id, LIMIT)
                sizes.append(len(found))
                with database.unit_of_work() as session:
                    session.execute(GIVE_BACK, {"units": [item.unit_id for item in found]})
        except Exception as error:  # noqa: BLE001  a thread has nobody else to tell
            errors.append(error)

    nodes = [market.node(f"n{number}") for number in range(NODES)]
    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    claimers = [threading.Thread(target=claim_and_release, args=(node_id,)) for node_id in nodes]
    for thread in sweepers + claimers:
        thread.start()
    for thread in claimers:
        thread.join()
    over.set()
    for thread in sweepers:
        thread.join()
    assert errors == []
    assert len(sizes) == NODES * CLAIMS_EACH and max(sizes) <= LIMIT
