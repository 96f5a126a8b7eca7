"""Frames of an account's jobs: how they stand, their pictures, their previews, and all of them as a zip."""

import io
import uuid
import zipfile
from dataclasses import replace
from itertools import combinations_with_replacement

import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import update

from app.api.rnp019 import frame_words, frames
from app.core import render_orders
from app.models.jobs import Job
from app.models.render_orders import RenderOrder
from app.values import clock
from app.values.states import UnitState
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import UNKNOWN, FakeNode, Market
from tests.api.rnp019.conftest import refused
from tests.api.test_paid_render import paid
from tests.factories.rendered_jobs import RenderedJobs, painted
from tests.factories.task_market import moving_clock


@pytest.fixture
def renders(client: FlaskClient, hub: Hub) -> RenderedJobs:
    return RenderedJobs(client, hub)


def statuses(renders: RenderedJobs, job_id: object, query: str = "") -> dict[int, str]:
    answer = renders.get(job_id, f"/frames{query}")
    assert answer.status_code == 200, answer.json
    assert answer.json["count"] == len(answer.json["frames"])
    return {row["frame"]: row["status"] for row in answer.json["frames"]}


def test_rows_say_how_each_frame_stands_and_what_it_cost(renders: RenderedJobs) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(5, settings=renders.settings())
        first = renders.claim(node, 1)
        hours.wait(5)
        renders.finish(first, seconds=900)  # it says so, and the hub saw five
        (broken,) = renders.claim(node, 1)
        renders.node_fails(broken, "UPLOAD_FAILED")
        renders.claim(node, 2)
        shown = renders.get(job_id, "/frames").json
    assert {**shown, "frames": None} == {
        "job_id": str(job_id), "asset": "RCREDIT", "current_cost": "0.05000000", "frames": None, "count": 5
    }  # fmt: skip
    assert shown["frames"][0] == {"frame": 1, "status": "completed", "seconds": 5.0, "cost": "0.05000000", "attempts": 1}
    assert [row["frame"] for row in shown["frames"]] == [1, 2, 3, 4, 5]
    assert sorted(row["status"] for row in shown["frames"]) == ["completed", "queued", "queued", "rendering", "rendering"]
    failed = next(row for row in shown["frames"] if row["frame"] == broken.frame)
    assert failed["attempts"] >= 1 and failed["cost"] is failed["seconds"] is None
    assert list(statuses(renders, job_id, "?frames=2-4:2,90")) == [2, 4]
    renders.assert_conserved(job_id, node)


def test_frames_are_listed_before_payment_and_after_the_end(renders: RenderedJobs) -> None:
    waiting = renders.place(3, mode="prepay")
    assert set(statuses(renders, waiting).values()) == {"queued"}
    with renders.hub.database.unit_of_work() as session:
        render_orders.cancel(session, renders.account_id, waiting)
    assert set(statuses(renders, waiting).values()) == {"cancelled"}
    refused(renders.get(waiting, "/frames.zip"), 404, "FRAME_NOT_RENDERED")


def test_every_combination_of_a_frames_units_has_a_word() -> None:
    found = {states: frame_words.word(states) for states in combinations_with_replacement(UnitState, 3)}
    assert set(found.values()) == set(frame_words.WORDS)
    tiles = (UnitState.COMPLETED, UnitState.COMPLETED, UnitState.QUEUED)
    assert (frame_words.word(tiles), frame_words.word(tiles[:1]), frame_words.word([])) == ("rendering", "completed", "queued")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_picture_is_the_very_bytes_that_were_accepted(renders: RenderedJobs, format: str) -> None:
    node = renders.node()
    job_id = renders.place(3, settings=renders.settings(output_format=format))
    renders.finish(renders.claim(node, 1), format)
    answer = renders.get(job_id, "/frames/1")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, painted(1, format), f"image/{format.lower()}")
    assert answer.headers["Content-Disposition"].endswith("frame_0001.png" if format == "PNG" else "frame_0001.jpg")
    part = renders.get(job_id, "/frames/1", headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.data) == (206, painted(1, format)[:8])
    assert renders.get(job_id, "/frames/1", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    refused(renders.get(job_id, "/frames/2"), 404, "FRAME_NOT_RENDERED")
    refused(renders.get(job_id, "/frames/4"), 404, "FRAME_NOT_FOUND")
    for text in ("x", "1.5", "٣", "1e3", "--1", "9" * 9):
        refused(renders.get(job_id, f"/frames/{text}"), 400, "FRAMES_INVALID")


def test_a_zip_has_what_was_asked_for_and_never_less(renders: RenderedJobs) -> None:
    node = renders.node()
    numbers = (-2, 1, 7, 12000)
    wanted = replace(renders.placement(4, settings=renders.settings()), frames=numbers)
    with renders.hub.database.unit_of_work() as session:
        job_id = render_orders.place(session, wanted).id
    renders.finish(renders.claim(node, 2))
    refused(renders.get(job_id, "/frames.zip"), 409, "JOB_NOT_OVER")
    assert names(renders.get(job_id, "/frames.zip?frames=-2,7")) == ["frame_-0002.png", "frame_0007.png"]
    assert "1,12000" in refused(renders.get(job_id, "/frames.zip?frames=-2,1,7,12000"), 404, "FRAME_NOT_RENDERED")
    refused(renders.get(job_id, "/frames.zip?frames=1-3"), 404, "FRAME_NOT_FOUND")
    renders.finish(renders.claim(node, 2))
    whole = renders.get(job_id, "/frames.zip")
    assert names(whole) == ["frame_-0002.png", "frame_0001.png", "frame_0007.png", "frame_12000.png"]
    assert whole.content_length == len(whole.data)
    with zipfile.ZipFile(io.BytesIO(whole.data)) as archive:
        assert archive.testzip() is None and archive.read("frame_0007.png") == painted(7)
    for query in ("5-1", "1-5:0", "1-1000000000", "a", "1,,2", "٣", ""):
        answer = renders.get(job_id, f"/frames.zip?frames={query}")
        assert answer.json["error"]["code"] in ("FRAMES_INVALID", "TOO_MANY_FRAMES") and answer.status_code == 400, query


def names(answer: object) -> list[str]:
    assert answer.status_code == 200, answer.json  # type: ignore[attr-defined]
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:  # type: ignore[attr-defined]
        return archive.namelist()


def test_pictures_are_402_until_they_are_paid_and_previews_are_free(renders: RenderedJobs) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(3, mode="pay_before_download", settings=renders.settings())
        taken = renders.claim(node, 9)
        hours.wait(5)
        renders.finish(taken)
    assert renders.balance("held").minor == 0
    for path in ("/frames/1", "/frames.zip", "/frames.zip?frames=1-2"):
        answer = renders.get(job_id, path)
        refused(answer, 402, "PAYMENT_REQUIRED")
        assert answer.json["error"]["details"] == {"amount": "0.15000000", "asset": "RCREDIT", "job_id": str(job_id)}
    head = {"Authorization": f"Bearer {renders.key}"}
    elsewhere = (f"/render/{job_id}/result", f"/render/{job_id}/result?frame=1", f"/api/v1/jobs/{job_id}/result")
    assert [renders.client.get(path, headers=head).status_code for path in elsewhere] == [402, 402, 402]
    assert set(statuses(renders, job_id).values()) == {"completed"}
    shown = renders.get(job_id, "/frames/1/preview")
    assert (shown.status_code, shown.mimetype) == (200, "image/jpeg")
    with renders.hub.database.unit_of_work() as session:
        session.execute(update(RenderOrder).where(RenderOrder.job_id == job_id).values(settled_at=clock.now()))
    assert renders.get(job_id, "/frames/1").data == painted(1)
    assert [renders.client.get(path, headers=head).status_code for path in elsewhere] == [200, 200, 200]
    assert len(names(renders.get(job_id, "/frames.zip"))) == 3


def test_a_preview_is_drawn_once_small_and_each_frames_own(renders: RenderedJobs) -> None:
    node = renders.node()
    job_id = renders.place(3, settings=renders.settings())
    renders.finish(renders.claim(node, 2))
    refused(renders.get(job_id, "/frames/3/preview"), 404, "FRAME_NOT_RENDERED")
    first = renders.get(job_id, "/frames/1/preview").data
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.size == (32, 24)
    (kept,) = (path for path in renders.hub.store.path("previews").rglob("*") if path.is_file())  # type: ignore[attr-defined]
    assert kept.read_bytes() == first
    kept.unlink()
    assert renders.get(job_id, "/frames/1/preview").data == first, "many watermarks of one frame would tell what is below"
    kept.write_bytes(b"kept")
    assert renders.get(job_id, "/frames/1/preview").data == b"kept"
    assert renders.get(job_id, "/frames/2/preview").data != first


def test_new_previews_are_so_many_a_minute_and_kept_ones_any(renders: RenderedJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = replace(renders.hub, settings=replace(renders.hub.settings, rate_limits=True))
    monkeypatch.setitem(renders.client.application.extensions, "lightyard", hub)
    monkeypatch.setattr(frames, "NEW_PREVIEWS", replace(frames.NEW_PREVIEWS, per_minute=1))
    job_id = renders.place(3, settings=renders.settings())
    renders.finish(renders.claim(renders.node(), 2))
    assert renders.get(job_id, "/frames/1/preview").status_code == 200
    answer = renders.get(job_id, "/frames/2/preview")
    refused(answer, 429, "RATE_LIMITED")
    assert int(answer.headers["Retry-After"]) >= 1
    assert renders.get(job_id, "/frames/1/preview").status_code == 200


def test_frames_are_their_owners_alone(renders: RenderedJobs) -> None:
    node = renders.node()
    job_id = renders.place(1, settings=renders.settings())
    renders.finish(renders.claim(node, 1))
    stranger = renders.key_of(renders.account("1"))
    unscoped = renders.key_of(renders.account_id, "scenes:read")
    for path in ("/frames", "/frames/1", "/frames/1/preview", "/frames.zip"):
        for key, job in ((stranger, job_id), (renders.key, UNKNOWN), (renders.key, uuid.uuid4())):
            refused(renders.get(job, path, key), 404, "JOB_NOT_FOUND")
        refused(renders.get(job_id, path, unscoped), 403, "SCOPE_MISSING")
        refused(renders.get("x", path), 400, "INVALID_INPUT")


def test_a_job_of_another_dialect_is_delivered_to_its_owner(market: Market, node: FakeNode, payer: Payer, hub: Hub) -> None:
    """What was bought with Rayment's 402 is the payer's here, too: its frames have no price of their own."""
    renders = RenderedJobs(market.client, hub)
    payment = paid(market, payer, '{"resolution":{"width":8,"height":6},"frames":{"start":1,"end":2}}')
    with hub.database.unit_of_work() as session:
        owner_id = session.get_one(Job, uuid.UUID(payment["jobId"])).account_id
    assert owner_id is not None
    key = renders.key_of(owner_id)
    for attempt in node.claim(2):
        assert node.finish(attempt).status_code == 200
    rows = renders.get(payment["jobId"], "/frames", key).json["frames"]
    assert [(row["status"], row["seconds"] >= 0, row["cost"]) for row in rows] == [("completed", True, None)] * 2
    assert names(renders.get(payment["jobId"], "/frames.zip", key)) == ["frame_0001.png", "frame_0002.png"]
    assert renders.get(payment["jobId"], "/frames/2/preview", key).status_code == 200
    refused(renders.get(payment["jobId"], "/frames"), 404, "JOB_NOT_FOUND")
