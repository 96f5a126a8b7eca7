"""A hub without its API, workers on real ports, and pollers run step by step."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.core import cocoon_workers, participants
from app.poller.cocoon import CocoonPoller
from app.wiring import Hub, build
from tests.factories import cocoon_workers as fakes
from tests.factories.cocoon_workers import FakeWorker, Farm


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    with fakes.farm() as made:
        yield made


@pytest.fixture
def hub(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Hub]:
    settings = Settings(
        database_url=database_url, redis_url=redis_url, lightyard_home=str(tmp_path), allow_private_endpoints=True,
        worker_timeout_seconds=1, worker_answer_bytes=200_000,
    )
    found = build(settings)
    yield found
    found.database.engine.dispose()


def make_participant(hub: Hub) -> int:
    with hub.database.unit_of_work() as session:
        return participants.create(session, f"0:{uuid.uuid4().hex}{uuid.uuid4().hex}", {})


class Pool:
    """Participants' workers in the hub, each with its stand-in."""

    def __init__(self, hub: Hub, farm: Farm) -> None:
        self.hub, self._farm = hub, farm
        self.participant_id = make_participant(hub)

    def add(self, worker: FakeWorker | None = None, **values: Any) -> tuple[int, FakeWorker]:
        """Register a worker that runs; (id, stand-in)."""
        worker = worker or FakeWorker()
        found = {
            "participant_id": self.participant_id, "worker_name": "Worker-0", "instance_number": 0, "host": "127.0.0.1",
            "stats_port": self._farm.add(worker), **values,
        }
        with self.hub.database.unit_of_work() as session:
            return cocoon_workers.create(session, found), worker

    def change(self, worker_id: int, **values: Any) -> None:
        with self.hub.database.unit_of_work() as session:
            cocoon_workers.change(session, worker_id, values)

    def make_due(self) -> None:
        with self.hub.database.unit_of_work() as session:
            session.connection().exec_driver_sql("UPDATE cocoon_worker_states SET due_at = now() - interval '1 second'")

    def poll(self) -> None:
        """One poll of every worker."""
        self.make_due()
        asyncio.run(self._poll_once(CocoonPoller(self.hub)))

    async def _poll_once(self, poller: CocoonPoller) -> None:
        await poller._look_at_hosts()
        await poller._take()
        if poller._in_flight:
            await asyncio.wait(list(poller._in_flight.values()))
        await poller._write()
        poller._client.close()

    def state(self, worker_id: int) -> Any:
        with self.hub.database.read_only() as session:
            return cocoon_workers.get(session, worker_id)[1]

    def rows(self, sql: str) -> list[Any]:
        with self.hub.database.unit_of_work() as session:
            return list(session.connection().exec_driver_sql(sql))


@pytest.fixture
def pool(hub: Hub, farm: Farm) -> Pool:
    return Pool(hub, farm)


