"""A provider's own software: the hub pushes paid jobs to it over real HTTP, and it delivers or fails."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from PIL import Image
from werkzeug.formparser import parse_form_data

from app.adapters.outbound import OutboundClient
from app.adapters.pace import PushPace, wait_seconds
from app.core import audit, completions, outcomes, provider_outcomes, pushes
from app.factory import create_app
from app.flows import push
from app.models.jobs import WorkUnit
from app.values import clock
from devnet.payer import Payer
from tests.api.conftest import PRICING, ROOT, SPEC, TRIANGLE, FakeNode, Market
from tests.api.test_paid_render import paid

THREE = '{"resolution":{"width":8,"height":6},"frames":{"start":3,"end":5}}'


class Software:
    """Rayment's provider software as its SDK describes it: POST /render and GET /health."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.is_rendering = False
        self.render: Callable[[BaseHTTPRequestHandler], tuple[int, Any]] = lambda _: (200, {"status": "accepted"})
        self.health: Callable[[], Any] = lambda: {"status": "online", "isRendering": self.is_rendering}
        software = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                environ = {
                    "wsgi.input": io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))),
                    "CONTENT_LENGTH": self.headers["Content-Length"],
                    "CONTENT_TYPE": self.headers["Content-Type"],
                    "REQUEST_METHOD": "POST",
                }
                _, form, files = parse_form_data(environ)
                sent = {"path": self.path, "name": files["file"].filename, "bytes": files["file"].read(), **form.to_dict()}
                software.jobs.append(sent)
                self.answer(*software.render(self))

            def do_GET(self) -> None:
                found = software.health()
                self.answer(200 if found is not None else 404, found)

            def answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.handler = Handler
        self.listen()

    def listen(self, port: int = 0) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self.handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def busy(self, _: BaseHTTPRequestHandler) -> tuple[int, Any]:
        return 503, {"error": "Already rendering"}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Impatient(OutboundClient):
    """Gives up after a moment, whatever it is allowed."""

    def post_multipart(self, url: str, files: Any, fields: Any, *, timeout_seconds: float | None = None) -> Any:
        return super().post_multipart(url, files, fields, timeout_seconds=0.3)


class Farm(Market):
    """A provider whose endpoint is real software; `push` is what the hub's worker does."""

    def __init__(self, client, hub, solana_url: str, software: Software) -> None:
        self.client, self.hub, self.wallet, self.software = client, hub, Payer(solana_url), software
        body = {"name": "farm", "wallet": self.wallet.address, "endpoint": software.url, "spec": SPEC, "pricing": PRICING}
        signature = self.wallet.sign(f"register:{self.wallet.address}:farm")
        answer = client.post("/provider/register", json={**body, "signature": signature})
        self.provider_id = answer.json["data"]["providerId"]
        self.set_status("online")

    def push(self, outbound: OutboundClient | None = None) -> int:
        hub = self.hub
        return push.push_waiting(hub.database, hub.store, outbound or hub.outbound, PushPace(hub.cache), hub.settings)

    def forget_waits(self) -> None:
        for key in self.hub.cache.keys("push:wait:*"):
            self.hub.cache.delete(key)

    def check(self) -> int:
        return push.check_held(self.hub.database, self.hub.outbound, self.hub.settings)

    def set_leases(self, seconds: float) -> None:
        with self.hub.database.unit_of_work() as session:
            session.execute(outcomes.update(WorkUnit).values(lease_until=clock.now() + timedelta(seconds=seconds)))

    def leases(self) -> list[float]:
        with self.hub.database.unit_of_work() as session:
            rows = session.execute(outcomes.select(WorkUnit.state, WorkUnit.lease_until)).all()
        return [(row[1] - clock.now()).total_seconds() for row in rows if row[0] == "rendering"]

    def deliver(self, payment: dict[str, Any], data: bytes, seconds: str = "12", **form: Any) -> Any:
        body = {
            "result": (io.BytesIO(data), "result"),
            "providerId": self.provider_id,
            "renderTime": seconds,
            "signature": self.wallet.sign(f"complete:{payment['jobId']}:{seconds}"),
        }
        return self.client.post(f"/provider/job/{payment['jobId']}/complete", data={**body, **form})

    def fail(self, payment: dict[str, Any], **body: Any) -> Any:
        sent = {"providerId": self.provider_id, "error": "Out of memory", **body}
        return self.client.post(f"/provider/job/{payment['jobId']}/failed", json=sent)


@pytest.fixture
def software() -> Iterator[Software]:
    found = Software()
    yield found
    found.stop()


@pytest.fixture
def farm(client, hub, solana_url: str, software: Software) -> Farm:
    return Farm(client, hub, solana_url, software)


def png(width: int = 8, height: int = 6, shade: int = 0) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 0, 0)).save(picture, "PNG")
    return picture.getvalue()


def bundle(frames: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in frames.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_a_paid_job_is_pushed_as_the_sdk_reads_it_and_delivered(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    assert farm.job(payment)["status"] == "queued"
    assert farm.push() == 1
    (sent,) = farm.software.jobs
    assert (sent["path"], sent["name"], sent["bytes"], sent["jobId"]) == ("/render", "part.stl", TRIANGLE, payment["jobId"])
    assert json.loads(sent["settings"]) == {
        "resolution": {"width": 8, "height": 6}, "frames": {"start": 1, "end": 1},
        "engine": "cycles", "samples": 128, "outputFormat": "PNG",
    }
    assert farm.job(payment)["status"] == "rendering" and farm.job(payment)["startedAt"]
    assert farm.push() == 0 and len(farm.software.jobs) == 1
    assert farm.deliver(payment, png()).json["data"]["status"] == "completed"
    job = farm.job(payment)
    assert (job["status"], job["renderTime"]) == ("completed", 12)
    with farm.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_several_frames_come_back_as_one_zip(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer, THREE)
    farm.push()
    data = bundle({f"out/frame_{number:04d}.png": png(shade=number) for number in (3, 4, 5)})
    assert farm.deliver(payment, data).status_code == 200
    for number in (3, 4, 5):
        answer = farm.client.get(f"/render/{payment['jobId']}/result?frame={number}")
        assert Image.open(io.BytesIO(answer.data)).getpixel((0, 0)) == (number, 0, 0)
    whole = zipfile.ZipFile(io.BytesIO(farm.client.get(f"/render/{payment['jobId']}/result").data))
    assert whole.namelist() == ["frame_0003.png", "frame_0004.png", "frame_0005.png"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "RESULT_UNREADABLE"),
        (png(), "RESULT_UNREADABLE"),
        (bundle({"3.png": png(), "4.png": png()}), "RESULT_UNREADABLE"),
        (bundle({"3.png": png(), "4.png": png(), "5.png": png(), "6.png": png()}), "RESULT_UNREADABLE"),
        (bundle({"3.png": png(), "4.png": png(9), "5.png": png()}), "RESULT_WRONG_SIZE"),
        (bundle({"3.png": png(), "4.png": png()[:-20], "5.png": png()}), "RESULT_UNREADABLE"),
        (bundle({"../3.png": png(), "4.png": png(), "5.png": png()}), "RESULT_UNREADABLE"),
    ],
)
def test_a_result_counts_whole_or_not_at_all(farm: Farm, payer: Payer, data: bytes, code: str) -> None:
    payment = paid(farm, payer, THREE)
    farm.push()
    answer = farm.deliver(payment, data)
    assert (answer.status_code, answer.json["code"]) == (400, code), answer.json
    assert farm.job(payment)["framesCompleted"] == 0
    folder = farm.hub.store.path(f"accepted/provider/{payment['jobId']}")
    assert not folder.exists() or list(folder.iterdir()) == []
    good = bundle({f"{number}.png": png() for number in (3, 4, 5)})
    assert farm.deliver(payment, good).status_code == 200


def test_doubles_are_harmless(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.push()
    assert [farm.deliver(payment, png()).status_code for _ in range(2)] == [200, 200]
    assert farm.fail(payment, signature=farm.wallet.sign(f"failed:{payment['jobId']}")).status_code == 409
    with farm.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
        assert session.connection().exec_driver_sql("SELECT count(*) FROM transfers WHERE reference LIKE 'fee:%%'").scalar() == 1


def test_a_delivery_whose_commit_was_not_answered_keeps_its_pictures(farm: Farm, payer: Payer, monkeypatch) -> None:
    """The database has committed and its answer is lost: the provider earned its money, so the client has its picture."""
    payment = paid(farm, payer)
    farm.push()
    dialect, complete = farm.hub.database.engine.dialect, completions.complete
    commit, lost = dialect.do_commit, list[bool]()

    def commit_and_lose_the_answer(connection: Any) -> None:
        commit(connection)
        if lost and lost.pop():
            raise psycopg.OperationalError("the server closed the connection unexpectedly")

    def complete_and_arm(*arguments: Any) -> Any:
        lost.append(True)
        return complete(*arguments)

    monkeypatch.setattr(dialect, "do_commit", commit_and_lose_the_answer)
    monkeypatch.setattr(completions, "complete", complete_and_arm)
    assert farm.deliver(payment, png(shade=7)).status_code == 503
    assert farm.job(payment)["status"] == "completed"
    answer = farm.client.get(f"/render/{payment['jobId']}/result")
    assert Image.open(io.BytesIO(answer.data)).getpixel((0, 0)) == (7, 0, 0)
    assert farm.deliver(payment, png()).status_code == 200  # the provider asks again, as the 503 said


def test_a_result_is_taken_before_the_push_is_answered(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)

    def at_once(_: BaseHTTPRequestHandler) -> tuple[int, Any]:
        assert farm.deliver(payment, png()).status_code == 200
        return 200, {"status": "accepted"}

    farm.software.render = at_once
    farm.push()
    assert farm.job(payment)["status"] == "completed"


def test_one_job_at_a_time(farm: Farm, payer: Payer) -> None:
    first, second = paid(farm, payer), paid(farm, payer)
    assert farm.push() == 1 and farm.push() == 0
    assert [job["jobId"] for job in farm.software.jobs] == [first["jobId"]]
    assert farm.deliver(first, png()).status_code == 200
    assert farm.push() == 1
    assert farm.job(second)["status"] == "rendering"


def test_two_workers_push_once(farm: Farm, payer: Payer) -> None:
    paid(farm, payer)
    inside, go_on = threading.Event(), threading.Event()

    def slow(_: BaseHTTPRequestHandler) -> tuple[int, Any]:
        inside.set()
        assert go_on.wait(30)
        return 200, {"status": "accepted"}

    farm.software.render = slow
    thread = threading.Thread(target=farm.push)
    thread.start()
    assert inside.wait(30)
    assert farm.push() == 0
    go_on.set()
    thread.join()
    assert len(farm.software.jobs) == 1


@pytest.mark.parametrize(
    "answer",
    [(503, {"error": "Already rendering"}), (500, {}), (404, {}), (302, {}), (200, {"status": "no"}), (200, {"error": "no"})],
)
def test_a_refusal_is_tried_again_later(farm: Farm, payer: Payer, answer: tuple[int, Any]) -> None:
    payment = paid(farm, payer)
    farm.software.render = lambda _: answer
    assert farm.push() == 0
    assert farm.job(payment)["status"] == "queued"
    farm.software.render = lambda _: (200, {"status": "accepted"})
    assert farm.push() == 0 and len(farm.software.jobs) == 1  # it waits
    farm.forget_waits()
    assert farm.push() == 1
    assert farm.job(payment)["status"] == "rendering"


def test_the_wait_doubles_up_to_five_minutes(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.software.render = farm.software.busy
    for tries in range(1, 4):
        farm.push()
        left = farm.hub.cache.pttl(f"push:wait:{payment['jobId']}") / 1000
        assert 2 < left <= 5 * 2 ** (tries - 1) * 1.2
        farm.forget_waits()
    assert all(240 <= wait_seconds(tries) <= 360 for tries in (8, 20, 1000))


def test_an_outage_and_a_silent_provider_cost_nothing(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    port = farm.software.server.server_port
    farm.software.server.shutdown()
    farm.software.server.server_close()
    assert farm.push() == 0
    assert farm.job(payment)["status"] == "queued"
    farm.software.listen(port)
    release = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> tuple[int, Any]:
        assert release.wait(30)
        return 200, {}

    farm.software.render = silent
    farm.forget_waits()
    assert farm.push(Impatient(allow_private=True)) == 0
    release.set()
    assert farm.job(payment)["status"] == "queued"
    farm.software.render = lambda _: (200, {"status": "accepted"})
    farm.forget_waits()
    assert farm.push() == 1


def test_private_addresses_are_pushed_to_only_where_allowed(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    assert farm.push(OutboundClient(allow_private=False)) == 0
    assert farm.software.jobs == [] and farm.job(payment)["status"] == "queued"


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://example.com", "http://169.254.169.254/latest", "http://[::1]:4402", "http://10.0.0.1:4402", "file:///etc/passwd",
     "http://user:pw@example.com", "http://localhost:5432", "example.com", "http://2130706433/"],
)
def test_endpoints_that_lead_inside_are_refused_at_registration(settings, endpoint: str, solana_url: str) -> None:
    client, wallet = create_app(replace(settings, allow_private_endpoints=False)).test_client(), Payer(solana_url)
    body = {"name": "farm", "wallet": wallet.address, "endpoint": endpoint, "spec": SPEC, "pricing": PRICING}
    answer = client.post("/provider/register", json={**body, "signature": wallet.sign(f"register:{wallet.address}:farm")})
    assert (answer.status_code, answer.json["code"]) == (400, "URL_REFUSED")


def test_rendering_software_keeps_its_job(farm: Farm, payer: Payer) -> None:
    paid(farm, payer)
    farm.push()
    farm.software.is_rendering = True
    farm.set_leases(30)
    assert farm.check() == 1
    assert farm.leases()[0] > 250
    assert farm.check() == 0  # asked a moment ago


def test_idle_software_has_a_moment_to_deliver_and_then_loses_the_job(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.push()
    farm.set_leases(200)
    farm.check()
    assert 0 < farm.leases()[0] <= push.DELIVERY_SECONDS
    farm.set_leases(-1)
    with farm.hub.database.unit_of_work() as session:
        assert outcomes.expire_leases(session, (3, 5)) == 1
    assert farm.push() == 1 and len(farm.software.jobs) == 2
    farm.set_leases(-1)
    with farm.hub.database.unit_of_work() as session:
        outcomes.expire_leases(session, (3, 5))
    assert farm.deliver(payment, png()).status_code == 200  # late, but nobody else has it: it counts
    assert farm.job(payment)["status"] == "completed"


def test_software_that_does_not_say_is_given_the_longest_time_it_may_take(farm: Farm, payer: Payer) -> None:
    paid(farm, payer)
    farm.push()
    farm.software.health = lambda: None
    farm.set_leases(30)
    farm.check()
    assert farm.leases()[0] > 250
    farm.set_leases(30)
    object.__setattr__(farm.hub, "settings", replace(farm.hub.settings, unit_max_seconds=0))
    farm.check()
    assert farm.leases()[0] <= 30


def test_five_lost_leases_end_the_job_with_a_refund(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    for _ in range(5):
        assert farm.push() == 1
        farm.set_leases(-1)
        with farm.hub.database.unit_of_work() as session:
            outcomes.expire_leases(session, (3, 5))
    job = farm.job(payment)
    assert (job["status"], job["refund"]["status"]) == ("failed", "owed")


def end_noted(farm: Farm, after_seconds: float) -> int:
    with farm.hub.database.unit_of_work() as session:
        session.connection().exec_driver_sql(
            f"UPDATE jobs SET failure_noted_at = failure_noted_at - interval '{after_seconds} seconds'"
        )
    with farm.hub.database.unit_of_work() as session:
        return provider_outcomes.end_noted_failures(session)


def test_a_signed_failure_counts_at_once(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.push()
    answer = farm.fail(payment, signature=farm.wallet.sign(f"failed:{payment['jobId']}"))
    assert answer.json["data"]["status"] == "failed"
    job = farm.job(payment)
    assert (job["status"], job["error"]) == ("failed", "Out of memory")
    assert job["refund"]["amount"] == job["estimatedPrice"]
    assert farm.deliver(payment, png()).status_code == 409


def test_an_unsigned_failure_ends_it_only_after_a_minute_without_a_sign_of_life(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.push()
    assert farm.fail(payment).json["data"]["status"] == "noted"
    assert end_noted(farm, 50) == 0
    assert farm.job(payment)["status"] == "rendering"
    assert end_noted(farm, 20) == 1
    assert farm.job(payment)["status"] == "failed"


def test_rendering_software_voids_a_strangers_failure(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    farm.push()
    farm.software.is_rendering = True
    assert farm.fail(payment).status_code == 200
    farm.check()
    assert end_noted(farm, 3600) == 0
    assert farm.job(payment)["status"] == "rendering"


def test_a_node_at_work_voids_a_strangers_failure(farm: Farm, payer: Payer) -> None:
    node = FakeNode(farm).join()
    payment = paid(farm, payer)
    (attempt,) = node.claim()
    assert farm.push() == 0 and farm.software.jobs == []  # its own node does it
    farm.fail(payment)
    assert end_noted(farm, 61) == 0
    node.post("releases", attempts=[{"attempt_id": attempt["attempt_id"], "fence": attempt["fence"]}])
    assert end_noted(farm, 61) == 0  # the note is void: the minute starts with the next one
    farm.fail(payment)
    assert end_noted(farm, 61) == 1


def test_a_software_that_failed_is_not_pushed_to_again_meanwhile(farm: Farm, payer: Payer) -> None:
    paid_for = paid(farm, payer)
    farm.push()
    farm.fail(paid_for)
    farm.set_leases(-1)
    with farm.hub.database.unit_of_work() as session:
        outcomes.expire_leases(session, (3, 5))
        assert pushes.waiting(session, set()) == []


def test_without_its_counter_nothing_is_pushed_and_nothing_is_lost(farm: Farm, payer: Payer) -> None:
    payment = paid(farm, payer)
    hub = farm.hub
    away = PushPace(redis.Redis(port=1))
    assert push.push_waiting(hub.database, hub.store, hub.outbound, away, hub.settings) == 0
    assert farm.push() == 1
    assert farm.job(payment)["status"] == "rendering"


CRASHING = """
from app.adapters.pace import PushPace
from app.config import load
from app.flows import push
from app.wiring import build

hub = build(load())
push.push_waiting(hub.database, hub.store, hub.outbound, PushPace(hub.cache), hub.settings)
"""


def test_a_worker_killed_right_after_the_software_took_the_job_loses_and_doubles_nothing(
    farm: Farm, payer: Payer, tmp_path: Path
) -> None:
    payment = paid(farm, payer)
    settings = farm.hub.settings
    (tmp_path / "armed").mkdir()
    (tmp_path / "armed" / "push.sent").touch()
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "LIGHTYARD_HOME": settings.lightyard_home,
        "ALLOW_PRIVATE_ENDPOINTS": "on",
        "LIGHTYARD_FAILPOINTS_FOLDER": str(tmp_path / "armed"),
    }
    died = subprocess.run([sys.executable, "-c", CRASHING], cwd=ROOT, env=environment, timeout=100)
    assert died.returncode == -signal.SIGKILL
    assert [job["jobId"] for job in farm.software.jobs] == [payment["jobId"]]
    assert farm.job(payment)["status"] == "queued"
    assert farm.push() == 0 and len(farm.software.jobs) == 1  # the dead worker's turn is not over
    for key in farm.hub.cache.keys("push:turn:*"):
        assert 0 < farm.hub.cache.pttl(key) <= 60_000  # it ends by itself
        farm.hub.cache.delete(key)
    farm.software.render = farm.software.busy  # it renders what it took
    assert farm.push() == 0 and len(farm.software.jobs) == 2
    assert farm.deliver(payment, png()).status_code == 200
    assert farm.job(payment)["status"] == "completed"
    farm.forget_waits()
    assert farm.push() == 0 and len(farm.software.jobs) == 2
    with farm.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
