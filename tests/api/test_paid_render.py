"""The main line through the public API: quote, pay on the chain, claim, deliver, download."""

import io
import zipfile

import pytest
from PIL import Image

from app.core import audit, ledger, outcomes
from app.core.ledger import Party
from devnet.payer import Payer
from tests.api.conftest import UNKNOWN, FakeNode, Market

LAMPORTS = 7_350_000  # (0.001 frame + 60 s x 0.0001) + 5 %, and nothing to speak of for the bytes


def lamports(payment) -> int:
    return round(payment["price"] * 10**9)


def paid(market: Market, payer: Payer, settings: str = '{"resolution":{"width":8,"height":6}}'):
    payment = market.quote(payer, settings)
    signature = payer.pay(payment["payTo"], lamports(payment), payment["memo"])
    payer.wait_final(signature)
    answer = market.pay(payment, signature)
    assert (answer.status_code, answer.json["data"]["status"]) == (200, "queued"), answer.json
    return payment


def test_a_render_is_quoted_paid_rendered_and_downloaded(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = market.quote(payer)
    assert lamports(payment) == LAMPORTS and payment["payTo"] == market.wallet.address
    assert market.job(payment)["status"] == "pending_payment"
    assert node.claim() == []
    payment = paid(market, payer)
    (attempt,) = node.claim(8)
    assert market.job(payment)["status"] == "rendering"
    assert node.finish(attempt).json["results"][0]["accepted"] is True
    assert node.finish(attempt).status_code in (200, 409)
    job = market.job(payment)
    assert (job["status"], job["paymentStatus"], job["framesCompleted"]) == ("completed", "confirmed", 1)
    result = market.client.get(f"/render/{payment['jobId']}/result")
    assert Image.open(io.BytesIO(result.data)).size == (8, 6)
    with market.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []
        assert ledger.balance(session, Party("fees"), "SOL").minor == LAMPORTS * 5 // 105


def test_several_frames_come_as_a_zip_and_each_alone(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = paid(market, payer, '{"resolution":{"width":8,"height":6},"frames":{"start":3,"end":5}}')
    other = FakeNode(market, "other").join()
    attempts = [*node.claim(1), *other.claim(8)]
    assert sorted(item["frame"] for item in attempts) == [3, 4, 5]
    for worker, attempt in zip((node, other, other), attempts, strict=True):
        assert worker.finish(attempt).status_code == 200
    path = f"/render/{payment['jobId']}/result"
    names = zipfile.ZipFile(io.BytesIO(market.client.get(path).data)).namelist()
    assert names == ["frame_0003.png", "frame_0004.png", "frame_0005.png"]
    assert market.client.get(f"{path}?frame=4").mimetype == "image/png"
    assert market.client.get(f"{path}?frame=9").status_code == 404
    assert market.client.get(f"{path}?frame=x").status_code == 400


def test_the_wrong_size_fails_the_attempt_and_three_failures_the_job_with_a_refund(
    market: Market, payer: Payer, node: FakeNode
) -> None:
    payment = paid(market, payer)
    for _ in range(3):
        (attempt,) = node.claim()
        answer = node.finish(attempt, size=(9, 6)).json["results"][0]
        assert answer["error"]["code"] == "RESULT_WRONG_SIZE"
    job = market.job(payment)
    assert job["status"] == "failed"
    assert job["refund"]["status"] == "owed" and round(job["refund"]["amount"] * 10**9) == LAMPORTS
    with market.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_lost_lease_gives_the_unit_to_another_and_fences_the_first(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = paid(market, payer)
    (first,) = node.claim()
    with market.hub.database.unit_of_work() as session:
        session.execute(outcomes.update(outcomes.WorkUnit).values(lease_until=outcomes.clock.now() - outcomes.timedelta(1)))
    with market.hub.database.unit_of_work() as session:
        assert outcomes.expire_leases(session, (3, 5)) == 1
    other = FakeNode(market, "other").join()
    (second,) = other.claim()
    assert second["fence"] == first["fence"] + 1
    assert node.finish(first).status_code == 409
    report = [{"attempt_id": first["attempt_id"], "fence": first["fence"], "progress": 0.5}]
    assert node.post("progress", reports=report).json["reports"][0]["live"] is False
    assert other.finish(second).status_code == 200
    assert market.job(payment)["status"] == "completed"


def test_a_node_must_prove_its_key_and_work_on_its_own_attempts_only(market: Market, payer: Payer, node: FakeNode) -> None:
    paid(market, payer)
    stranger = FakeNode(market, "stranger")
    assert stranger.post("claims", capabilities=["render"]).status_code == 403
    wrong = {"signature": "AAAA"}
    assert stranger.post("proof", **wrong).status_code == 401
    (attempt,) = node.claim()
    stranger.join()
    answer = stranger.finish(attempt)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "ATTEMPT_NOT_YOURS")
    report = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "progress": 0.9}
    assert stranger.post("progress", reports=[report]).json["reports"][0]["live"] is False
    assert stranger.post("heartbeat", attempts=[attempt["attempt_id"]]).json["dead_attempts"] == [attempt["attempt_id"]]
    assert node.post("heartbeat", attempts=[attempt["attempt_id"]]).json["dead_attempts"] == []
    assert node.post("progress", reports=[report]).json["reports"][0]["live"] is True


@pytest.mark.parametrize(
    ("trick", "code", "booked"),
    [("short", 400, True), ("no memo", 400, False), ("two memos", 400, True), ("other payee", 400, False)],
)
def test_payment_tricks_are_refused_and_what_arrived_is_booked(
    market: Market, payer: Payer, trick: str, code: int, booked: bool
) -> None:
    payment = market.quote(payer)
    amount, memo, to = lamports(payment), [payment["memo"]], payment["payTo"]
    if trick == "short":
        amount -= 1
    if trick == "no memo":
        memo = []
    if trick == "two memos":
        memo = [*memo, "another"]
    if trick == "other payee":
        to = Payer(str(payer._http.base_url)).address
    signature = payer.pay(to, amount, *memo)
    payer.wait_final(signature)
    answer = market.pay(payment, signature)
    assert answer.status_code == code and answer.json["success"] is False
    job = market.job(payment)
    assert job["status"] == "pending_payment"
    assert bool(job["refunds"]) is booked
    with market.hub.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_one_transaction_pays_one_job(market: Market, payer: Payer) -> None:
    payment = paid(market, payer)
    signature = market.job(payment)["paymentTx"]
    other = market.quote(payer)
    assert market.pay(other, signature).status_code == 409
    assert market.pay(payment, signature).status_code == 200


def test_a_provider_delivers_by_its_own_software(market: Market, payer: Payer) -> None:
    payment = paid(market, payer)
    picture = io.BytesIO()
    Image.new("RGB", (8, 6)).save(picture, "PNG")
    form = {
        "result": (io.BytesIO(picture.getvalue()), "out.png"),
        "providerId": market.provider_id,
        "renderTime": "12",
        "signature": market.wallet.sign(f"complete:{payment['jobId']}:12"),
    }
    path = f"/provider/job/{payment['jobId']}/complete"
    assert market.client.post(path, data={**form, "result": (io.BytesIO(b"x"), "o"), "signature": "x"}).status_code == 401
    assert market.client.post(path, data=form).status_code == 200
    assert market.job(payment)["status"] == "completed"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"samples":"many"}',
        '{"samples":0}',
        '{"resolution":{"width":100000,"height":100000}}',
        '{"frames":{"start":1,"end":1000000000}}',
        '{"frames":{"start":5,"end":1}}',
        '{"engine":"luxcore"}',
        '{"samples":NaN}',
        '{"outputFormat":7}',
    ],
)
def test_wrong_settings_are_400_in_the_envelope(market: Market, payer: Payer, text: str) -> None:
    form = {"file": (io.BytesIO(b"\0" * 134), "part.stl"), "clientWallet": payer.address, "settings": text}
    answer = market.client.post("/render", data=form)
    assert (answer.status_code, answer.json["success"]) == (400, False)
    assert answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PATCH", "/render", 405),
        ("GET", f"/providers/{UNKNOWN}", 404),
        ("GET", "/providers/x", 404),
        ("GET", "/providers?status=odd", 400),
        ("GET", f"/render/{UNKNOWN}", 404),
        ("GET", "/render/x/result", 404),
        ("POST", "/render", 400),
        ("POST", "/render/pay", 400),
        ("POST", "/provider/register", 400),
        ("PUT", "/provider/status", 400),
        ("PUT", "/provider/pricing", 400),
    ],
)
def test_errors_are_in_rayments_envelope(client, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status, answer.data
    assert answer.json["success"] is False and answer.json["error"]


def test_the_node_protocol_has_its_own_envelope(client) -> None:
    for method, path, status in (("GET", "/node/v1/x", 404), ("POST", "/node/v1/claims", 400), ("GET", "/files/a?x=1", 403)):
        answer = client.open(path, method=method, json={} if method == "POST" else None)
        assert answer.status_code == status, answer.data
        assert set(answer.json["error"]) == {"code", "message", "details"}


def test_health_stats_and_metrics(client) -> None:
    assert client.get("/health").json == {"status": "ok", "service": "rayment-hub", "version": "1.0.0"}
    assert client.get("/stats").json["data"]["totalVolumeSOL"] == 0
    assert b"lightyard_http_request" in client.get("/metrics").data
    assert client.get("/openapi/rayment.json").json["openapi"].startswith("3.1")
