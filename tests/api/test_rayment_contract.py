"""Rayment's document, line by line: the fields, types and words of each answer."""

import io
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api.rayment.bodies import status_word
from app.core import pricing
from app.values.states import JobState, PaymentState
from devnet.payer import Payer
from tests.api.conftest import PRICING, SPEC, TRIANGLE, FakeNode, Market
from tests.api.test_paid_render import paid

WORDS = {"pending_payment", "paid", "queued", "rendering", "completed", "failed", "cancelled"}


def test_health_is_as_written(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok", "service": "rayment-hub", "version": "1.0.0"}


def test_the_check_vector_of_the_price() -> None:
    tariff = pricing.Tariff(Decimal("0.001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.005"))
    quote = pricing.quote(tariff, 100 * 1024**2, 1, Decimal(60), 5)
    assert (quote.base_price, quote.platform_fee, quote.total) == (
        Decimal("0.0079765625"), Decimal("0.000398828125"), Decimal("0.008375"))
    assert quote.price.minor == 8_375_000


def test_stats_count_jobs_and_volume_from_their_confirmed_payment_on(market: Market, payer: Payer) -> None:
    def stats() -> dict[str, Any]:
        return market.client.get("/stats").json["data"]

    before = stats()
    assert set(before) == {
        "totalProviders", "onlineProviders", "totalJobs", "completedJobs", "totalVolumeSOL", "avgRenderTime"}
    assert (before["totalProviders"], before["onlineProviders"], before["totalJobs"]) == (1, 1, 0)
    market.quote(payer)
    assert stats() == before
    node, payment = FakeNode(market).join(), paid(market, payer)
    assert (stats()["totalJobs"], stats()["completedJobs"], stats()["totalVolumeSOL"]) == (1, 0, payment["price"])
    for attempt in node.claim(8):
        if attempt["kind"] == "frame":
            node.finish(attempt)
    assert (stats()["completedJobs"], stats()["avgRenderTime"]) == (1, 1.5)
    market.set_status("offline")
    assert stats()["onlineProviders"] == 0
    assert market.client.get(f"/providers/{market.provider_id}").json["data"]["completedJobs"] == 1


def test_a_provider_is_shown_whole_in_the_list_and_alone(market: Market) -> None:
    (listed,) = market.client.get("/providers").json["data"]["providers"]
    alone = market.client.get(f"/providers/{market.provider_id}").json["data"]
    assert listed == alone
    assert {"id", "name", "wallet", "endpoint", "spec", "pricing", "status", "rating", "completedJobs"} <= set(alone)
    assert (alone["id"], alone["wallet"], alone["status"]) == (market.provider_id, market.wallet.address, "online")
    assert (alone["pricing"], alone["spec"]) == (PRICING, SPEC)


def test_providers_by_status_and_page(market: Market, client: FlaskClient, solana_url: str) -> None:
    others = [Market(client, market.hub, solana_url) for _ in range(2)]
    others[0].set_status("busy")
    others[1].set_status("offline")

    def listed(query: str) -> tuple[list[str], int]:
        data = client.get(f"/providers{query}").json["data"]
        return [item["id"] for item in data["providers"]], data["total"]

    everyone = [market.provider_id, *(other.provider_id for other in others)]
    assert listed("") == (everyone, 3)
    assert listed("?status=online") == ([market.provider_id], 1)
    assert listed("?status=busy") == ([others[0].provider_id], 1)
    assert listed("?status=offline") == ([others[1].provider_id], 1)
    assert listed("?status=maintenance") == ([], 0)
    assert listed("?limit=1&offset=1") == (everyone[1:2], 3)
    assert listed("?offset=5") == ([], 3)
    for query in ("status=", "status=ONLINE", "limit=0", "limit=1001", "limit=x", "offset=-1", "offset=9999999999999"):
        answer = client.get(f"/providers?{query}")
        assert (answer.status_code, answer.json["success"]) == (400, False), query


def test_a_quote_is_as_written(market: Market, payer: Payer) -> None:
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "providerId": market.provider_id}
    answer = market.client.post("/render", data=form)
    assert answer.status_code == 402
    body = answer.json
    assert (body["success"], body["error"]) == (False, "Payment Required")
    payment = body["payment"]
    assert {"jobId", "price", "breakdown", "payTo", "expiresAt", "memo"} <= set(payment)
    parts = payment["breakdown"]
    assert set(parts) == {"basePrice", "fileSizeFee", "frameFee", "estimatedRenderFee", "platformFee", "total"}
    assert (parts["frameFee"], parts["estimatedRenderFee"], parts["total"]) == (0.001, 0.006, payment["price"])
    assert payment["payTo"] == market.wallet.address
    prefix, _, reference = payment["memo"].partition(":")
    assert prefix == "rayment" and uuid.UUID(reference) != uuid.UUID(payment["jobId"])
    numbers = answer.text.partition('"breakdown"')[2].partition('"payTo"')[0]
    assert '"fileSizeFee": 0.000000001' in numbers and "e-" not in numbers.lower()  # 134 bytes cost next to nothing
    job = market.job(payment)
    assert job["settings"] == {
        "resolution": {"width": 1920, "height": 1080}, "frames": {"start": 1, "end": 1},
        "engine": "cycles", "samples": 128, "outputFormat": "PNG"}


def test_a_job_is_as_written(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    job = market.job(payment)
    assert job["id"] == payment["jobId"] and job["clientWallet"] == payer.address
    assert (job["providerId"], job["status"], job["paymentStatus"]) == (market.provider_id, "pending_payment", "pending")
    assert (job["fileName"], job["fileSize"], job["estimatedPrice"]) == ("part.stl", len(TRIANGLE), payment["price"])
    assert "paymentTx" not in job and "startedAt" not in job and job["createdAt"] > 1_600_000_000_000
    node = FakeNode(market).join()
    payment = paid(market, payer)
    assert market.job(payment)["paymentTx"] and market.job(payment)["paymentStatus"] == "confirmed"
    assert any(attempt["kind"] == "frame" for attempt in node.claim(8))
    job = market.job(payment)
    assert job["status"] == "rendering" and job["startedAt"] >= job["createdAt"]


def test_every_pair_of_states_has_one_of_the_seven_words() -> None:
    for state in JobState:
        for payment in PaymentState:
            for is_started in (False, True):
                assert status_word(state, payment, is_started) in WORDS


def test_a_file_that_no_provider_takes_is_503_and_an_unknown_provider_404(market: Market, payer: Payer) -> None:
    def ask(name: str = "part.stl", settings: str = "{}", provider_id: str | None = None) -> Any:
        form = {"file": (io.BytesIO(TRIANGLE), name), "clientWallet": payer.address, "settings": settings}
        return market.client.post("/render", data=form | ({"providerId": provider_id} if provider_id else {}))

    assert ask(settings='{"engine":"eevee"}').status_code == 503
    for unknown in (str(uuid.uuid4()), "x", "\0"):
        assert ask(provider_id=unknown).status_code == 404
    market.set_status("offline")
    for provider_id in (None, market.provider_id):
        answer = ask(provider_id=provider_id)
        assert (answer.status_code, answer.json["success"]) == (503, False)
        assert answer.json["error"]


def test_a_file_over_the_providers_limit_is_503(client: FlaskClient, hub: Any, solana_url: str, payer: Payer) -> None:
    market = Market(client, hub, solana_url)
    with hub.database.unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE providers SET spec = jsonb_set(spec, '{maxFileSize}', '0.0001')")
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "providerId": market.provider_id}
    answer = client.post("/render", data=form)
    assert (answer.status_code, answer.json["success"]) == (503, False)
    assert "MiB" in answer.json["error"]


@pytest.mark.parametrize(
    "change", [{"file": None}, {"clientWallet": "x"}, {"clientWallet": ""}, {"file": (io.BytesIO(b"x"), "")}]
)
def test_a_form_without_what_is_needed_is_400(market: Market, payer: Payer, change: dict[str, Any]) -> None:
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address} | change
    answer = market.client.post("/render", data={name: value for name, value in form.items() if value is not None})
    assert (answer.status_code, answer.json["success"]) == (400, False)


def test_numbers_are_written_out(client: FlaskClient, solana_url: str) -> None:
    wallet = Payer(solana_url)
    tiny = {**PRICING, "pricePerSecond": 0.000000000001}
    spec = {**SPEC, "watts": 0.00001, "many": 1e22}
    body = {"name": "farm", "wallet": wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": spec, "pricing": tiny}
    signature = wallet.sign(f"register:{wallet.address}:farm")
    assert client.post("/provider/register", json={**body, "signature": signature}).status_code == 200
    text = client.get("/providers").text
    assert '"pricePerSecond": 0.000000000001' in text and '"watts": 0.00001' in text
    assert "e-" not in text.partition('"spec"')[2].partition('"status"')[0].lower()
    assert json.loads(text)["data"]["providers"][0]["spec"] == spec


def test_an_absurd_price_list_stops_nobodys_quote(market: Market, payer: Payer, solana_url: str) -> None:
    cheap = market.provider_id
    absurd = {**PRICING, "pricePerFrame": 1_000_000}
    wallet = Payer(solana_url)
    body = {"name": "moon", "wallet": wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC, "pricing": absurd}
    signature = wallet.sign(f"register:{wallet.address}:moon")
    made = market.client.post("/provider/register", json={**body, "signature": signature}).json["data"]["providerId"]
    status = {"providerId": made, "status": "online", "signature": wallet.sign(f"status:{made}:online")}
    assert market.client.put("/provider/status", json=status).status_code == 200
    frames = '{"resolution":{"width":8,"height":6},"frames":{"start":1,"end":10000}}'
    assert market.job(market.quote(payer, frames))["providerId"] == cheap
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "settings": frames, "providerId": made}
    answer = market.client.post("/render", data=form)
    assert answer.status_code == 503 and "price" in answer.json["error"]


def test_settings_may_come_as_a_json_blob(market: Market, payer: Payer) -> None:
    def ask(settings: bytes) -> Any:
        blob = (io.BytesIO(settings), "blob", "application/json")
        form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "settings": blob}
        return market.client.post("/render", data=form)

    answer = ask(b'{"samples":7,"resolution":{"width":8,"height":6}}')
    assert answer.status_code == 402
    assert market.job(answer.json["payment"])["settings"]["samples"] == 7
    assert [ask(broken).status_code for broken in (b'{"samples":"x"}', b"\xff", b"", b"[" * 100_000)] == [400, 400, 402, 400]


def test_a_picture_has_its_size_and_may_be_fetched_in_parts(market: Market, payer: Payer, node: FakeNode) -> None:
    payment = paid(market, payer)
    (attempt,) = node.claim()
    assert node.finish(attempt).status_code == 200
    path = f"/render/{payment['jobId']}/result"
    whole = market.client.get(path)
    assert whole.content_length == len(whole.data) and whole.headers["Accept-Ranges"] == "bytes"
    assert market.client.head(path).content_length == len(whole.data)
    part = market.client.get(path, headers={"Range": "bytes=8-"})
    assert (part.status_code, part.data) == (206, whole.data[8:])
    assert part.headers["Content-Range"] == f"bytes 8-{len(whole.data) - 1}/{len(whole.data)}"
    beyond = market.client.get(path, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.json["success"]) == (416, False)


def test_a_providers_claim_of_seconds_prices_no_more_than_the_hub_has_waited(
    market: Market, payer: Payer, node: FakeNode
) -> None:
    paid(market, payer)
    (attempt,) = node.claim()
    item = {**node.upload(attempt), "seconds": 1_000_000}
    assert node.post("results", results=[item]).json["results"][0]["accepted"]
    assert market.quote(payer)["breakdown"]["estimatedRenderFee"] < 0.006  # under a minute has passed, at 0.0001 SOL a second


def test_a_long_reason_for_a_failure_is_taken(market: Market, payer: Payer) -> None:
    payment = paid(market, payer)
    job_id = payment["jobId"]
    signature = market.wallet.sign(f"failed:{job_id}")
    body = {"providerId": market.provider_id, "error": "Traceback " * 1000, "signature": signature}
    assert market.client.post(f"/provider/job/{job_id}/failed", json=body).status_code == 200
    assert market.job(payment)["error"].startswith("Traceback Traceback")
