"""Two gunicorn processes with gevent on a real S3 server: scenes of several parts, and a dispatched job over the relay."""

import hashlib
import io
import uuid
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.config import Settings
from app.db import Database, make_engine
from devnet.payer import Payer
from tests.api.conftest import Market, payer, solana_url  # noqa: F401  fixtures
from tests.api.rendertrust.conftest import User
from tests.api.test_s3_render import S3Node, picture
from tests.factories import radosgw, stores
from tests.relay.conftest import Api, Parts, environment, running_api  # noqa: F401  fixtures
from tests.relay.relay_nodes import RelayNode

JOBS, TRIANGLES = 6, 200_000
SETTINGS = '{"resolution":{"width":8,"height":6},"frames":{"start":1,"end":3}}'
SCENE = b"\0" * 80 + TRIANGLES.to_bytes(4, "little") + bytes(range(50)) * TRIANGLES

pytestmark = pytest.mark.system


@pytest.fixture
def apis(environment: dict[str, str], rados_url: str, tmp_path: Path) -> Iterator[tuple[Api, Api]]:  # noqa: F811
    place = stores.s3_place(rados_url, radosgw.ACCESS_KEY, radosgw.SECRET_KEY, uuid.uuid4().hex, "radosgw")
    values = {name.upper(): "on" if value is True else value for name, value in place.settings.items()}
    both = {**environment, **values, "INSPECTION_WAIT_SECONDS": "0"}
    with running_api(both, tmp_path / "a.log") as first, running_api(both, tmp_path / "b.log") as second:
        yield first, second


def test_many_clients_at_once_get_what_was_rendered_for_them(
    apis: tuple[Api, Api], solana_url: str, database_url: str, payer: Payer  # noqa: F811
) -> None:
    database = Database(make_engine(Settings(database_url=database_url)))
    market = Market(apis[0], Parts(database), solana_url)  # type: ignore[arg-type]
    node = S3Node(market).join()
    with ThreadPoolExecutor(JOBS) as pool:
        payments = list(pool.map(lambda index: ordered(market, apis[index % 2], payer), range(JOBS)))
        for payment in payments:
            signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
            payer.wait_final(signature)
            assert market.pay(payment, signature).json["data"]["status"] == "queued"
        assert node.scene() == SCENE
        announced = list(pool.map(node.upload, node.claim(3 * JOBS)))
        answer = node.post("results", results=announced).json
        assert [item["accepted"] for item in answer["results"]] == [True] * 3 * JOBS
        for index, found in enumerate(pool.map(lambda item: downloaded(apis[1], item), payments)):
            assert found == [picture(1), picture(2), picture(3)], index
    database.engine.dispose()


def ordered(market: Market, api: Api, payer: Payer) -> Any:  # noqa: F811
    form = {"file": (io.BytesIO(SCENE), "part.stl"), "clientWallet": payer.address, "settings": SETTINGS}
    answer = api.post("/render", data=form)
    assert answer.status_code == 402, answer.json
    return answer.json["payment"]


def downloaded(api: Api, payment: Any) -> list[bytes]:
    path = f"/render/{payment['jobId']}/result"
    one = api.get(f"{path}?frame=2", headers={"Range": "bytes=0-7"})
    assert (one.status_code, one.data) == (206, picture(2)[:8])
    with zipfile.ZipFile(io.BytesIO(api.get(path).data)) as archive:
        frames = [archive.read(name) for name in archive.namelist()]
    assert Image.open(io.BytesIO(frames[0])).size == (8, 6)
    return frames


def test_a_node_on_the_relay_fetches_and_brings_its_files_at_presigned_addresses(
    apis: tuple[Api, Api], solana_url: str, database_url: str  # noqa: F811
) -> None:
    database = Database(make_engine(Settings(database_url=database_url)))
    market = Market(apis[0], Parts(database), solana_url)  # type: ignore[arg-type]
    user = User(apis[0])
    user.fund(market.hub, "20")
    payload, result = b"payload of a job" * 1000, b"what the node made of it"
    with RelayNode(market, capabilities=("anything",)).connect(apis[1]) as socket:
        made = ordered_with(user, payload)
        assert made.status_code == 200, made.json
        told = socket.hear("job_dispatch")
        assert httpx.get(told["payload_url"]).content == payload
        for method, url in (("PUT", told["payload_url"]), ("DELETE", told["payload_url"]), ("GET", told["upload_url"])):
            assert httpx.request(method, url).status_code == 403, (method, url)
        assert socket.ask(socket.result(told))["code"] == "RESULT_MISSING"
        assert httpx.put(told["upload_url"], content=result).status_code == 200
        assert socket.ask(socket.result(told))["status"] == "completed"
        assert httpx.put(told["upload_url"], content=b"too late").status_code == 200, "an address lives on, beside the result"
    found = user.get(f"jobs/{made.json['job_id']}/result").json
    assert (httpx.get(found["download_url"]).content, found["expires_in"]) == (result, 3600)
    assert httpx.get(found["download_url"].replace("Expires=3600", "Expires=9999")).status_code == 403
    assert user.get("credits/balance").json["balance"] == "19.0000"
    database.engine.dispose()


def ordered_with(user: User, data: bytes) -> Any:
    """A job for a file that its owner sent. Other bytes are refused at its address, or by the hub: Ceph 16 knows no checksums."""
    facts = {"filename": "a.bin", "content_type": "application/octet-stream", "size_bytes": len(data)}
    order = user.post("uploads", json={**facts, "sha256": hashlib.sha256(data).hexdigest()}).json
    body = {"job_type": "anything", "payload_ref": order["payload_ref"]}
    assert httpx.put(order["upload_url"], content=data[:-1], headers=order["headers"]).status_code == 403
    assert user.post("jobs/dispatch", json=body).status_code == 422
    other = httpx.put(order["upload_url"], content=data[:-1] + b"!", headers=order["headers"])
    assert other.status_code in (200, 400)
    assert user.post("jobs/dispatch", json=body).status_code == 422
    assert httpx.put(order["upload_url"], content=data, headers=order["headers"]).status_code == 200
    return user.post("jobs/dispatch", json=body)
