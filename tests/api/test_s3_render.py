"""The main line with S3 as the file store: nobody but the hub, the node and the client's addresses touches a file."""

import hashlib
import io
import uuid
import zipfile
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from app.adapters.storage.s3 import S3Store
from app.config import Settings
from app.core import audit, jobs, outcomes
from app.errors import NotFound
from app.flows import retention
from devnet.payer import Payer
from tests.api.conftest import TRIANGLE, FakeNode, Market
from tests.api.test_paid_render import paid
from tests.api.test_push import Farm, bundle, farm, software  # noqa: F401  its fixtures too
from tests.factories import radosgw, stores

THREE = '{"resolution":{"width":8,"height":6},"frames":{"start":3,"end":5}}'


@pytest.fixture(params=["moto", pytest.param("radosgw", marks=pytest.mark.system)])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "moto":
        place = stores.s3_place(request.getfixturevalue("moto_url"), "key", "secret", uuid.uuid4().hex, "moto")
    else:
        url = request.getfixturevalue("rados_url")
        place = stores.s3_place(url, radosgw.ACCESS_KEY, radosgw.SECRET_KEY, uuid.uuid4().hex, "radosgw")
    return replace(settings, **place.settings, max_result_bytes=1000)


class S3Node(FakeNode):
    """A node that fetches and uploads by the addresses it was given, as a real one does."""

    def put(self, attempt: dict[str, Any], data: bytes) -> dict[str, Any]:
        upload = attempt["upload"]
        answer = httpx.request(upload["method"], upload["url"], content=data, headers=upload["headers"])
        assert answer.status_code == 200, answer.text
        item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "sha256": hashlib.sha256(data).hexdigest()}
        return {**item, "size_bytes": len(data), "seconds": 1.5}

    def upload(self, attempt: dict[str, Any], size: tuple[int, int] = (8, 6)) -> dict[str, Any]:
        return self.put(attempt, picture(attempt["frame"] or 0, size))

    def scene(self) -> bytes:
        """The bytes behind the claim's address of the first job that is waiting."""
        answer = self.post("claims", capabilities=["render"], limit=1).json
        (job,) = answer["jobs"].values()
        for item in answer["attempts"]:
            self.post("releases", attempts=[{"attempt_id": item["attempt_id"], "fence": item["fence"]}], reason="draining")
        return httpx.get(job["inputs"][0]["url"]).content


def picture(frame: int, size: tuple[int, int] = (8, 6)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (frame, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def node(market: Market) -> S3Node:
    assert isinstance(market.hub.store, S3Store)
    return S3Node(market).join()  # type: ignore[return-value]


def test_a_render_is_quoted_paid_rendered_and_downloaded(market: Market, payer: Payer, node: S3Node) -> None:
    payment = paid(market, payer, THREE)
    assert node.scene() == TRIANGLE
    for attempt in node.claim(3):
        assert node.finish(attempt).json["results"][0]["accepted"] is True
    assert market.job(payment)["status"] == "completed"
    path = f"/render/{payment['jobId']}/result"
    whole = market.client.get(path)
    archive = zipfile.ZipFile(io.BytesIO(whole.data))
    assert archive.namelist() == ["frame_0003.png", "frame_0004.png", "frame_0005.png"] and archive.testzip() is None
    assert whole.content_length == len(whole.data)
    assert market.client.get(f"{path}?frame=4").data == picture(4) == archive.read("frame_0004.png")
    with market.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_picture_comes_in_parts_and_not_twice(market: Market, payer: Payer, node: S3Node) -> None:
    payment = paid(market, payer)
    node.finish(*node.claim())
    path, whole = f"/render/{payment['jobId']}/result", picture(1)
    part = market.client.get(f"{path}?frame=1", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, whole[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert market.client.get(path, headers={"Range": "bytes=-8"}).data == whole[-8:]
    assert market.client.get(path, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    etag = part.headers["ETag"]
    assert market.client.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert market.client.head(path).content_length == len(whole)


def test_bytes_that_are_not_those_announced_never_count(market: Market, payer: Payer, node: S3Node) -> None:
    payment = paid(market, payer)
    (attempt,) = node.claim()
    announced = node.upload(attempt)
    node.put(attempt, picture(200))
    assert node.post("results", results=[announced]).json["results"][0]["error"]["code"] == "RESULT_HASH_MISMATCH"
    assert node.post("results", results=[announced]).json["results"][0]["error"]["code"] == "RESULT_MISSING"
    assert node.finish(attempt).json["results"][0]["accepted"] is True
    node.put(attempt, picture(200))  # its address is still good, but leads nowhere that counts
    assert node.post("results", results=[announced]).json["results"][0]["accepted"] is True
    assert market.client.get(f"/render/{payment['jobId']}/result").data == picture(1)


def test_an_upload_past_the_limit_fails_the_attempt_unread(market: Market, payer: Payer, node: S3Node) -> None:
    paid(market, payer)
    (attempt,) = node.claim()
    error = node.post("results", results=[node.put(attempt, b"x" * 1001)]).json["results"][0]["error"]
    assert error["code"] == "RESULT_TOO_LARGE"
    (again,) = node.claim()
    lie = {**node.put(again, b"x" * 1001), "size_bytes": 999}
    assert node.post("results", results=[lie]).json["results"][0]["error"]["code"] == "RESULT_HASH_MISMATCH"


def test_unneeded_files_are_deleted(market: Market, payer: Payer, node: S3Node) -> None:
    store = market.hub.store
    payment = market.quote(payer)
    with market.hub.database.unit_of_work() as session:
        scene = jobs.scene_of(session, jobs.get(session, uuid.UUID(payment["jobId"])))
        outcomes.cancel_unpaid(session, uuid.UUID(payment["jobId"]), "WITHDRAWN", "the test withdraws it")
    assert store.stat(scene.storage_key).size_bytes == len(TRIANGLE)
    assert retention.delete_scene(market.hub.database, store, scene.id)
    with pytest.raises(NotFound):
        store.stat(scene.storage_key)
    paid(market, payer)
    (attempt,) = node.claim()
    node.upload(attempt)
    assert store.delete_older("results", -3600) == 1


def test_a_job_is_pushed_to_a_providers_software_and_delivered_by_it(farm: Farm, payer: Payer) -> None:  # noqa: F811
    payment = paid(farm, payer, THREE)
    assert farm.push() == 1
    assert farm.software.jobs[0]["bytes"] == TRIANGLE
    frames = {f"frame_{number:04d}.png": picture(number) for number in (3, 4, 5)}
    assert farm.deliver(payment, bundle(frames)).json["data"]["status"] == "completed"
    assert farm.client.get(f"/render/{payment['jobId']}/result?frame=5").data == picture(5)


def test_the_hub_serves_no_addresses_of_its_own(market: Market) -> None:
    assert market.client.get("/files/results/a?signature=x").status_code == 404
    assert market.client.put("/files/results/a?signature=x", data=b"x").status_code == 404
