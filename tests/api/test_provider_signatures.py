"""What providers sign: the raw text as sent, in base58 or base64, with or without a timestamp."""

import base64
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api.rayment.reading import raw_member
from devnet.payer import Payer
from tests.api.conftest import PRICING, SPEC, Market
from tests.api.test_paid_render import paid
from tests.api.test_push import png

Sign = Callable[[str], str]
# As JavaScript writes it: Python would write 1e-05, 1.0 and 1e-07.
JS_PRICING = '{"pricePerFrame":0.00001,"pricePerSecond":1e-7,"pricePerGb":1,"minimumPrice":0.005,"currency":"SOL"}'


def now_ms() -> int:
    return int(time.time() * 1000)


def base58(wallet: Payer) -> Sign:
    return wallet.sign


def base64_of(wallet: Payer) -> Sign:
    return lambda message: base64.b64encode(bytes(wallet.keypair.sign_message(message.encode()))).decode()


class Signer:
    """Each signed request of a provider: its message, and how to send it with a signature and maybe a timestamp."""

    def __init__(self, market: Market, payer: Payer) -> None:
        self.market, self.payer, self.client = market, payer, market.client

    def job(self) -> str:
        return str(paid(self.market, self.payer)["jobId"])

    def prepare(self, action: str) -> tuple[str, Callable[[dict[str, Any]], Any]]:
        provider_id, client = self.market.provider_id, self.client
        if action == "register":
            wallet = self.market.wallet.address
            body = {"name": "farm", "wallet": wallet, "endpoint": "http://127.0.0.1:4402", "spec": SPEC, "pricing": PRICING}
            return f"register:{wallet}:farm", lambda more: client.post("/provider/register", json={**body, **more})
        if action == "status":
            body = {"providerId": provider_id, "status": "online"}
            return f"status:{provider_id}:online", lambda more: client.put("/provider/status", json={**body, **more})
        if action == "pricing":
            def send(more: dict[str, Any]) -> Any:
                rest = json.dumps({"more": 0, **more})[1:]
                text = f'{{"providerId":"{provider_id}","pricing": {JS_PRICING} ,{rest}'
                return client.put("/provider/pricing", data=text, content_type="application/json")

            return f"pricing:{provider_id}:{JS_PRICING}", send
        job_id = self.job()
        if action == "complete":
            def deliver(more: dict[str, Any]) -> Any:
                form = {"result": (io.BytesIO(png()), "a.png"), "providerId": provider_id, "renderTime": "12.50", **more}
                return client.post(f"/provider/job/{job_id}/complete", data=form)

            return f"complete:{job_id}:12.50", deliver
        body = {"providerId": provider_id, "error": "no memory"}
        return f"failed:{job_id}", lambda more: client.post(f"/provider/job/{job_id}/failed", json={**body, **more})


ACTIONS = ("register", "status", "pricing", "complete", "failed")


@pytest.fixture
def signer(market: Market, payer: Payer) -> Signer:
    return Signer(market, payer)


@pytest.mark.parametrize("spelling", [base58, base64_of])
@pytest.mark.parametrize("action", ACTIONS)
def test_the_wallets_own_signature_is_taken(signer: Signer, action: str, spelling) -> None:
    message, send = signer.prepare(action)
    answer = send({"signature": spelling(signer.market.wallet)(message)})
    assert answer.status_code == 200, answer.json
    assert answer.json["success"] is True


@pytest.mark.parametrize("action", ACTIONS)
def test_any_other_signature_is_401_and_changes_nothing(signer: Signer, action: str) -> None:
    message, send = signer.prepare(action)
    stranger = Payer(str(signer.payer._http.base_url))
    right = signer.market.wallet.sign(message)
    before = signer.client.get(f"/providers/{signer.market.provider_id}").data
    wrong = [stranger.sign(message), signer.market.wallet.sign(message + " "), "garbage", right[:-1], right + "1", "1" * 88]
    for signature in wrong:
        answer = send({"signature": signature})
        assert (answer.status_code, answer.json["success"]) == (401, False), signature
    if action != "failed":
        assert send({}).status_code == 401  # unsigned; only a failure may be, and is then only noted
    assert signer.client.get(f"/providers/{signer.market.provider_id}").data == before
    assert send({"signature": right}).status_code == 200


def test_another_providers_signature_is_no_good(signer: Signer, client: FlaskClient) -> None:
    other = Market(client, signer.market.hub, str(signer.payer._http.base_url))
    body = {"providerId": signer.market.provider_id, "status": "busy"}
    signature = other.wallet.sign(f"status:{signer.market.provider_id}:busy")
    assert client.put("/provider/status", json={**body, "signature": signature}).status_code == 401
    job_id = signer.job()
    paid_to = client.get(f"/render/{job_id}").json["data"]["providerId"]
    stranger = other if paid_to == signer.market.provider_id else signer.market
    form = {"result": (io.BytesIO(png()), "a.png"), "providerId": stranger.provider_id, "renderTime": "1"}
    form["signature"] = stranger.wallet.sign(f"complete:{job_id}:1")
    assert client.post(f"/provider/job/{job_id}/complete", data=form).status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
def test_with_a_timestamp_it_is_fresh_and_good_once(signer: Signer, action: str) -> None:
    message, send = signer.prepare(action)
    wallet, now = signer.market.wallet, now_ms()
    for stale in (now - 301_000, now + 360_000):  # the latter comes nearer while this runs
        answer = send({"timestamp": stale, "signature": wallet.sign(f"{message}:{stale}")})
        assert answer.status_code == 401, answer.json
    assert send({"timestamp": now, "signature": wallet.sign(message)}).status_code == 401
    assert send({"timestamp": now, "signature": wallet.sign(f"{message}:{now + 1}")}).status_code == 401
    assert send({"timestamp": "soon", "signature": wallet.sign(f"{message}:soon")}).status_code == 400
    signed = {"timestamp": now, "signature": wallet.sign(f"{message}:{now}")}
    assert send(signed).status_code == 200
    again = send(signed)
    assert (again.status_code, again.json["code"]) == (409, "SIGNATURE_REPLAYED")


@pytest.mark.parametrize("action", ACTIONS)
def test_once_signed_with_a_timestamp_shorter_messages_end(signer: Signer, action: str) -> None:
    message, send = signer.prepare(action)
    wallet, now = signer.market.wallet, now_ms()
    body = {"providerId": signer.market.provider_id, "status": "busy", "timestamp": now}
    body["signature"] = wallet.sign(f"status:{signer.market.provider_id}:busy:{now}")
    assert signer.client.put("/provider/status", json=body).status_code == 200
    assert send({"signature": wallet.sign(message)}).status_code == 401
    assert send({"timestamp": now, "signature": wallet.sign(f"{message}:{now}")}).status_code == 200


def test_two_at_once_with_one_timestamp_one_counts(signer: Signer) -> None:
    wallet, now = signer.market.wallet, now_ms()
    message, send = signer.prepare("status")
    signed = {"timestamp": now, "signature": wallet.sign(f"{message}:{now}")}
    assert sorted(send(signed).status_code for _ in range(5)) == [200, 409, 409, 409, 409]


def test_prices_are_signed_as_the_text_that_was_sent(signer: Signer) -> None:
    message, send = signer.prepare("pricing")
    assert send({"signature": signer.market.wallet.sign(message)}).status_code == 200
    shown = signer.client.get(f"/providers/{signer.market.provider_id}").data.decode()
    assert '"pricePerFrame": 0.00001' in shown and '"pricePerSecond": 0.0000001' in shown
    python_text = json.dumps(json.loads(JS_PRICING), separators=(",", ":"))
    again = signer.market.wallet.sign(f"pricing:{signer.market.provider_id}:{python_text}")
    assert python_text != JS_PRICING and send({"signature": again}).status_code == 401


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ('{"a":{"pricing":1},"pricing":{"x":[1, 2]},"b":2}', '{"x":[1, 2]}'),
        ('{ "pricing" :\n {"x" : "}\\"{"} , "b":{}}', '{"x" : "}\\"{"}'),
        ('{"pricing":{"x":1},"pricing":{"x":2}}', '{"x":2}'),
        ('{"s":"\\"pricing\\":{}","pricing":{}}', "{}"),
    ],
)
def test_the_raw_member_is_the_one_that_is_read(text: str, member: str) -> None:
    assert raw_member(text, "pricing") == member
    assert json.loads(member) == json.loads(text)["pricing"]


def test_ids_are_signed_as_they_were_sent(signer: Signer) -> None:
    loud = signer.market.provider_id.upper()
    body = {"providerId": loud, "status": "online"}
    sign = signer.market.wallet.sign
    send = signer.client.put
    assert send("/provider/status", json={**body, "signature": sign(f"status:{loud}:online")}).status_code == 200
    assert send("/provider/status", json={**body, "signature": sign(f"status:{loud.lower()}:online")}).status_code == 401


def test_registering_again_is_the_same_provider_unchanged(signer: Signer) -> None:
    before = signer.client.get(f"/providers/{signer.market.provider_id}").data
    wallet = signer.market.wallet
    body = {"name": "farm", "wallet": wallet.address, "endpoint": "http://127.0.0.1:4403", "spec": {}, "pricing": PRICING}
    body["pricing"] = {**PRICING, "pricePerFrame": 9}
    signature = wallet.sign(f"register:{wallet.address}:farm")
    again = signer.client.post("/provider/register", json={**body, "signature": signature})
    assert again.json["data"] == {"providerId": signer.market.provider_id, "message": "Provider registered successfully"}
    assert signer.client.get(f"/providers/{signer.market.provider_id}").data == before


WRONG_MEMBERS: list[tuple[str, Any]] = [
    ("name", ""), ("name", 7), ("name", "x" * 101), ("name", "a\x00b"), ("wallet", "x"), ("wallet", "1" * 44),
    ("endpoint", ""), ("endpoint", "nowhere"), ("spec", []),
    ("spec", {"supportedFormats": "blend"}), ("spec", {"maxFileSize": 0}),
    ("spec", {"gpus": "many"}), ("spec", {"gpus": [{"name": "RTX"}]}), ("spec", {"gpus": [7]}), ("spec", {"gpuCount": 1.5}),
    ("spec", {"totalVram": "24"}), ("spec", {"blenderVersion": 4.5}), ("spec", {"renderEngines": [1]}),
    ("spec", {"maxFileSize": 10**7}), ("spec", {"x": "y" * 20_000}),
    ("spec", {"maxFileSize": True}), ("pricing", {}), ("pricing", {**PRICING, "pricePerGb": -1}),
    ("pricing", {**PRICING, "pricePerGb": "0.1"}), ("pricing", {**PRICING, "pricePerGb": 10**7}),
    ("pricing", {**PRICING, "pricePerGb": 1e-13}), ("pricing", {**PRICING, "currency": "EUR"}), ("pricing", None),
]


def test_what_a_registration_must_be(client: FlaskClient, solana_url: str) -> None:
    wallet = Payer(solana_url)
    body = {"name": "farm", "wallet": wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC, "pricing": PRICING}
    body["signature"] = wallet.sign(f"register:{wallet.address}:farm")
    for member, value in WRONG_MEMBERS:
        answer = client.post("/provider/register", json={**body, member: value})
        assert (answer.status_code, answer.json["success"]) == (400, False), (member, value, answer.json)
    assert client.get("/providers").json["data"]["total"] == 0
    assert client.post("/provider/register", json=body).status_code == 200
