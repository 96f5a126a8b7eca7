"""Which paid jobs are handed to providers' own software."""

import uuid

from app.core import pushes
from app.db import Database
from tests.factories.market import Marketplace


def waiting(database: Database, nodes_of: set[uuid.UUID] | None = None) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        return pushes.waiting(session, nodes_of or set(), limit=6)


def test_a_long_queue_of_one_provider_keeps_no_other_waiting(database: Database) -> None:
    crowded, late = Marketplace(database), Marketplace(database)
    queue = [crowded.paid_job() for _ in range(8)]
    other = late.paid_job()
    found = waiting(database)
    assert other in found
    assert [job_id for job_id in found if job_id != other] == queue[: len(found) - 1]


def test_what_a_providers_nodes_do_is_not_in_the_way(database: Database) -> None:
    with_nodes, with_software = Marketplace(database), Marketplace(database)
    for _ in range(8):
        with_nodes.paid_job()
    job_id = with_software.paid_job()
    assert waiting(database, {with_nodes.provider_id}) == [job_id]


def test_software_that_holds_a_job_is_asked_to_take_no_other(database: Database) -> None:
    market = Marketplace(database)
    held = market.paid_job()
    market.paid_job()
    with database.unit_of_work() as session:
        assert pushes.accept(session, held, 300)
    assert waiting(database) == []
