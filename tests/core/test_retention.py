"""Quotes that nobody paid go with their files; what somebody paid stays."""

import io
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from app.adapters.storage.local import LocalStore
from app.core import payments, stale_jobs
from app.db import Database
from app.errors import NotFound
from app.flows import retention
from app.models.jobs import Job, Scene, WorkUnit
from app.values import clock
from tests.factories.market import Marketplace


def expire_all(database: Database) -> None:
    with database.unit_of_work() as session:
        session.execute(update(Job).values(expires_at=clock.now() - timedelta(days=2)))


def ordered(database: Database) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        query = text("SELECT key FROM outbox_messages WHERE topic = 'scenes.delete'")
        return [uuid.UUID(key) for key in session.scalars(query)]


def test_an_old_unpaid_quote_is_withdrawn_and_its_file_deleted_once(database: Database, tmp_path: Path) -> None:
    market = Marketplace(database)
    store = LocalStore(tmp_path, "secret", "http://127.0.0.1")
    (unpaid, payment_id), paid = market.unpaid_job(), market.paid_job()
    with database.unit_of_work() as session:
        assert stale_jobs.withdraw_old_quotes(session, 86_400) == 0
    expire_all(database)
    with database.unit_of_work() as session:
        assert stale_jobs.withdraw_old_quotes(session, 86_400) == 1
        assert stale_jobs.withdraw_old_quotes(session, 86_400) == 0
        job = session.get_one(Job, unpaid)
        assert (job.state, job.reason_code, session.get_one(Job, paid).state) == ("cancelled", "QUOTE_EXPIRED", "open")
        kept = session.get_one(Job, paid).scene_id
    assert ordered(database) == [job.scene_id]
    with database.unit_of_work() as session:
        for scene_id in (job.scene_id, kept):
            session.execute(update(Scene).where(Scene.id == scene_id).values(storage_key=f"scenes/{scene_id}"))
            store.put(f"scenes/{scene_id}", io.BytesIO(b"scene"), 10)
    assert job.scene_id is not None and kept is not None
    assert [retention.delete_scene(database, store, item) for item in (job.scene_id, job.scene_id, kept)] == [True, False, False]
    assert store.stat(f"scenes/{kept}").size_bytes == 5
    with pytest.raises(NotFound):
        store.stat(f"scenes/{job.scene_id}")
    market.pay(payment_id)
    with database.unit_of_work() as session:
        assert [item.reason for item in payments.refunds_of(session, unpaid)] == ["job_over"]


def test_a_paid_job_that_nobody_takes_is_refunded_but_never_one_in_work(database: Database) -> None:
    market = Marketplace(database)
    untaken, taken = market.paid_job(2), market.paid_job(2)
    node = market.node("n")
    with database.unit_of_work() as session:
        session.execute(update(WorkUnit).where(WorkUnit.job_id == taken).values(priority=9))
    assert [item.job.id for item in market.claim(node, 1)] == [taken]
    with database.unit_of_work() as session:
        assert stale_jobs.fail_untaken_jobs(session, 3600) == 0
        session.execute(update(Job).values(paid_at=clock.now() - timedelta(days=2)))
    with database.unit_of_work() as session:
        assert stale_jobs.fail_untaken_jobs(session, 3600) == 1
        job = session.get_one(Job, untaken, populate_existing=True)
        assert (job.state, job.reason_code, session.get_one(Job, taken).state) == ("failed", "NO_TAKER", "open")
    market.assert_money_fits(untaken)
