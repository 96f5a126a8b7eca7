"""Which task fits which resource, and that one task at a time has one."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from app.core import resources
from app.db import Database
from app.errors import Conflict, NotFound
from app.models.jobs import Job
from app.models.resources import Resource
from app.models.tasks import Task
from tests.factories.compute import a_provider, a_resource, a_task, give_back, take

# (what the resource has otherwise, what the task asks otherwise, the need that is not met)
FITS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {}, None),
    ({}, {"gpu_memory_gb": Decimal(24)}, None),
    ({}, {"gpu_memory_gb": Decimal("24.001")}, "gpu_memory_gb"),
    ({"gpu_memory_gb": None}, {"gpu_memory_gb": Decimal(1)}, "gpu_memory_gb"),
    ({}, {"gpu_count": 2}, "gpu_count"),
    ({"gpu_count": 0, "gpu_memory_gb": None, "type": "cpu"}, {}, "gpu_count, gpu_memory_gb"),
    ({"gpu_count": 0, "gpu_memory_gb": None, "type": "cpu"}, {"gpu_count": 0, "gpu_memory_gb": 0, "type": "cpu"}, None),
    ({"cpu_cores": Decimal(4)}, {}, None),
    ({"cpu_cores": Decimal("3.5")}, {}, "cpu_cores"),
    ({"ram_gb": Decimal(8)}, {}, "ram_gb"),
    ({"storage_gb": Decimal(49)}, {}, "storage_gb"),
    ({"price_minor": 10_000_000}, {}, None),
    ({"price_minor": 10_000_001}, {}, "max_price_per_hour"),
    ({"currency": "USDC"}, {}, None),
    ({"currency": "USDT"}, {}, "currency"),
    ({"location": "us-east-1"}, {"location": "us-east"}, None),
    ({"location": "us-east"}, {"location": "us-east"}, None),
    ({"location": "us-eastern"}, {"location": "us-east"}, "location"),
    ({"location": "us"}, {"location": "us-east"}, "location"),
    ({}, {"location": "us-east"}, "location"),
    ({"location": "eu"}, {}, None),
]


def test_a_task_fits_or_is_told_what_is_missing(database: Database) -> None:
    """By name, by choosing, and in the list of what a provider may accept: one rule."""
    for has, asks, lacks in FITS:
        provider_id = a_provider(database)
        resource_id, job_id = a_resource(database, provider_id, **has), a_task(database, **asks)
        with database.unit_of_work() as session:
            query = select(Task.job_id).join(Job, Job.id == Task.job_id).where(resources.fits_someone(provider_id))
            assert (session.scalar(query.where(Task.job_id == job_id)) == job_id) is (lacks is None), (has, asks)
        for named in (resource_id, None):
            with database.unit_of_work() as session:
                if lacks is None:
                    assert take(session, job_id, provider_id, named) == resource_id, (has, asks)
                else:
                    with pytest.raises(Conflict) as refusal:
                        take(session, job_id, provider_id, named)
                    assert refusal.value.code == "RESOURCE_UNAVAILABLE"
                    assert named is None or refusal.value.details["reason"].endswith(f"fit it: {lacks}"), (has, asks)
                session.rollback()


def test_the_cheapest_that_is_free_is_chosen_and_none_where_there_is_none(database: Database) -> None:
    provider_id, other_id = a_provider(database), a_provider(database)
    dear, cheap, away = (a_resource(database, provider_id, price_minor=price) for price in (9_000_000, 2_000_000, 1_000_000))
    with database.unit_of_work() as session:
        resources.change(session, provider_id, away, {"status": "maintenance"})
    *jobs, late, elsewhere = [a_task(database) for _ in range(4)]
    with database.unit_of_work() as session, pytest.raises(NotFound):
        take(session, late, other_id, cheap)
    taken = []
    for job_id in jobs:
        with database.unit_of_work() as session:
            taken.append(take(session, job_id, provider_id))
    assert taken == [cheap, dear]
    with database.unit_of_work() as session, pytest.raises(Conflict):
        take(session, late, provider_id)
    with database.unit_of_work() as session:
        assert take(session, elsewhere, other_id) is None  # it offers nothing, and works at the task's cap
        assert resources.counted(session, provider_id) == {"available": 0, "busy": 2, "maintenance": 1, "offline": 0}


def test_whoever_has_no_resources_is_offered_what_may_run_anywhere(database: Database) -> None:
    provider_id, job_id = a_provider(database), a_task(database)
    a_task(database, location="us-east")
    query = select(Task.job_id).join(Job, Job.id == Task.job_id).where(resources.fits_someone(provider_id))
    with database.unit_of_work() as session:
        assert session.scalars(query).all() == [job_id]


def test_a_resource_is_busy_for_as_long_as_its_attempt_lives(database: Database) -> None:
    provider_id, job_id = a_provider(database), a_task(database)
    resource_id = a_resource(database, provider_id)
    with database.unit_of_work() as session:
        take(session, job_id, provider_id, resource_id)
    with database.unit_of_work() as session:
        assert resources.get_own(session, provider_id, resource_id).status == "busy"
        assert resources.listed(session, provider_id, "gpu", "busy", 10, 0)[1] == 1
        assert resources.listed(session, provider_id, "gpu", "available", 10, 0) == ([], 0)
        with pytest.raises(Conflict):
            resources.delete(session, provider_id, resource_id)
        give_back(session, job_id)
    with database.unit_of_work() as session:
        assert resources.get_own(session, provider_id, resource_id).status == "available"
        resources.delete(session, provider_id, resource_id)
    with database.unit_of_work() as session:
        with pytest.raises(NotFound):
            take(session, job_id, provider_id, resource_id)
        assert session.get_one(Resource, resource_id).deleted_at is not None  # earnings still name it


@pytest.mark.parametrize("is_named", [True, False])
def test_many_tasks_at_once_never_share_a_resource(database: Database, is_named: bool) -> None:
    provider_id = a_provider(database)
    ids = [a_resource(database, provider_id) for _ in range(3)]
    jobs = [a_task(database) for _ in range(12)]

    def accept(number: int) -> uuid.UUID | None:
        try:
            with database.unit_of_work() as session:
                return take(session, jobs[number], provider_id, ids[number % 3] if is_named else None)
        except Conflict as refusal:
            assert refusal.code == "RESOURCE_UNAVAILABLE"
            return None

    with ThreadPoolExecutor(6) as pool:
        taken = [found for found in pool.map(accept, range(12)) if found is not None]
    assert len(set(taken)) == len(taken) and set(taken) <= set(ids)
    assert taken if not is_named else set(taken) == set(ids)


def test_a_nodes_terms_are_its_providers_least_price_and_all_its_places(database: Database) -> None:
    provider_id, other_id = a_provider(database), a_provider(database)
    a_resource(database, provider_id, location="us-east-1")
    a_resource(database, provider_id, price_minor=9_000_000, currency="USDT")
    a_resource(database, provider_id, type="cpu", gpu_count=0, gpu_memory_gb=None, price_minor=1_000_000, location="eu")
    a_resource(database, provider_id, price_minor=1, location="mars", status="offline")
    with database.unit_of_work() as session:
        terms = resources.terms_of(session, provider_id)
        assert terms.locations == ["eu", "us", "us-east", "us-east-1"]
        assert [terms.price_minor("gpu", asset) for asset in ("USDC", "USDT")] == [8_000_000, 8_000_000]
        assert [terms.price_minor("cpu", asset) for asset in ("USDC", "USDT")] == [1_000_000, 1_000_000]
        assert resources.terms_of(session, other_id).price_minor("gpu", "USDC") is None
