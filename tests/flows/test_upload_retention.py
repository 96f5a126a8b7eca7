"""Files that users sent: kept while a job needs them, deleted with their rows afterwards, in a folder and in a bucket."""

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.core import dead_letters, dispatch, uploads
from app.core.dispatch import DispatchOrder
from app.core.uploads import FileOrder
from app.db import Database
from app.errors import Conflict, NotFound
from app.flows import retention
from app.models.jobs import DeadLetter, Job, Scene
from app.models.uploads import Upload
from app.values import clock
from app.values.money import parse
from tests.factories import stores
from tests.factories.dispatching import RULES, Dispatcher

UNUSED, KEPT, HOUR = 86_400, 604_800, 3600


@pytest.fixture(params=["local", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "local":
        return stores.local_place(tmp_path / "store").store
    return stores.s3_place(request.getfixturevalue("moto_url"), "key", "secret", uuid.uuid4().hex, "moto").store


@pytest.fixture
def shop(database: Database) -> Iterator[Dispatcher]:
    yield Dispatcher(database)
    clock.replace_clock(None)


def pass_time(seconds: float) -> None:
    later = clock.now() + timedelta(seconds=seconds)
    clock.replace_clock(lambda: later)


def send(shop: Dispatcher, store: Any, is_sent: bool = True) -> tuple[uuid.UUID, str]:
    with shop.database.unit_of_work() as session:
        row = uploads.order(session, shop.account_id, FileOrder("a.bin", 4, "a/b"), 10, HOUR)
        found = row.id, row.storage_key
    if is_sent:
        store.put(found[1], io.BytesIO(b"file"), 10)
    return found


def work_on(shop: Dispatcher, upload: tuple[uuid.UUID, str], kind: str = "echo") -> uuid.UUID:
    told = {"payload_ref": f"upload:{upload[0]}", "payload_key": upload[1]}
    with shop.database.unit_of_work() as session:
        assert uploads.note_use(session, shop.account_id, upload[1])
        order = DispatchOrder("rendertrust", shop.account_id, kind, parse("1", "CREDIT"), told)
        return dispatch.dispatch(session, order, RULES)[0].id


def sweep(shop: Dispatcher, store: Any) -> int:
    return retention.delete_uploads(shop.database, store, UNUSED, KEPT)


def is_there(shop: Dispatcher, store: Any, upload: tuple[uuid.UUID, str]) -> bool:
    with shop.database.unit_of_work() as session:
        has_row = session.get(Upload, upload[0]) is not None
    try:
        has_file = store.stat(upload[1]).size_bytes == 4
    except NotFound:
        has_file = False
    assert has_row == has_file
    return has_row


def test_what_no_job_used_goes_some_time_after_its_address_expired(shop: Dispatcher, store: Any) -> None:
    sent, never_sent = send(shop, store), send(shop, store, is_sent=False)
    pass_time(HOUR + UNUSED - 1)
    assert sweep(shop, store) == 0 and is_there(shop, store, sent)
    pass_time(2)
    assert sweep(shop, store) == 2 and not is_there(shop, store, sent) and not is_there(shop, store, never_sent)
    assert sweep(shop, store) == 0


def test_what_a_job_used_stays_while_it_is_open_and_some_time_after_its_end(shop: Dispatcher, store: Any) -> None:
    node = shop.node("compute")
    upload = send(shop, store)
    job_id = work_on(shop, upload)
    pass_time(KEPT * 3)
    assert sweep(shop, store) == 0 and is_there(shop, store, upload), "the job is still open"
    shop.cancel(job_id)
    pass_time(KEPT - 1)
    assert sweep(shop, store) == 0 and is_there(shop, store, upload)
    pass_time(2)
    assert sweep(shop, store) == 1 and not is_there(shop, store, upload)
    with shop.database.unit_of_work() as session, pytest.raises(NotFound):
        uploads.resolve(session, shop.account_id, f"upload:{upload[0]}")
    assert node is not None


def test_a_scene_that_another_job_renders_keeps_its_upload(shop: Dispatcher, store: Any) -> None:
    shop.node("compute")
    upload = send(shop, store)
    with shop.database.unit_of_work() as session:
        scene = Scene(id=uuid.uuid4(), account_id=shop.account_id, sha256="0" * 64, size_bytes=4, storage_key=upload[1],
                      file_name="a.blend", format=".blend", facts={})
        session.add(scene)
    job_id = work_on(shop, upload)
    with shop.database.unit_of_work() as session:
        session.execute(update(Job).where(Job.id == job_id).values(settings={}, scene_id=scene.id))
    pass_time(KEPT * 3)
    assert sweep(shop, store) == 0
    shop.cancel(job_id)
    pass_time(KEPT + 1)
    assert sweep(shop, store) == 1
    with shop.database.unit_of_work() as session:
        assert session.get_one(Scene, scene.id).storage_key == "", "nobody is given an address of it"


def test_one_whose_deletion_broke_off_is_met_again_and_ordered_with_no_more(shop: Dispatcher, store: Any) -> None:
    upload = send(shop, store)
    pass_time(HOUR + UNUSED + 1)

    class Away:
        def delete(self, key: str) -> None:
            raise ConnectionError(key)

    with pytest.raises(ConnectionError):
        sweep(shop, Away())
    with shop.database.unit_of_work() as session:
        assert not uploads.note_use(session, shop.account_id, upload[1])
        with pytest.raises(NotFound):
            uploads.resolve(session, shop.account_id, f"upload:{upload[0]}")
    assert sweep(shop, store) == 1 and not is_there(shop, store, upload)


def test_a_dead_letter_is_not_replayed_without_its_file(shop: Dispatcher, store: Any) -> None:
    node = shop.node("compute")
    upload = send(shop, store)
    job_id = work_on(shop, upload)
    while shop.job(job_id).state == "open":
        shop.hasten(HOUR)
        for claim in shop.claim(node):
            shop.fail(claim)
    pass_time(KEPT + 1)
    assert sweep(shop, store) == 1
    with shop.database.unit_of_work() as session:
        [letter] = session.query(DeadLetter).all()
        with pytest.raises(Conflict) as refusal:
            dead_letters.replay(session, letter.id)
    assert refusal.value.code == "PAYLOAD_GONE" and shop.job(job_id).state == "failed"
