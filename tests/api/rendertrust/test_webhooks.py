"""Stripe's webhook: only what Stripe signed, just now, over these very bytes; and then credited once."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.config import Settings
from app.core import card_payments
from app.wiring import Hub
from tests.api.rendertrust.conftest import User
from tests.factories import stripe_events as stripe

URL = "/api/v1/webhooks/stripe"
OLD, NEW = "whsec_old", "whsec_new"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, stripe_webhook_secret=stripe.SECRET)


def send(client: FlaskClient, body: bytes, header: str | None) -> Any:
    headers = {} if header is None else {"Stripe-Signature": header}
    return client.post(URL, data=body, headers=headers, content_type="application/json; charset=utf-8")


def deliver(client: FlaskClient, event: dict[str, Any]) -> Any:
    body = stripe.body(event)
    return send(client, body, stripe.signed(body))


def balance(user: User) -> str:
    return user.get("credits/balance").json["balance"]


def bought(user: User) -> dict[str, Any]:
    return stripe.event("checkout.session.completed", stripe.session(stripe.new_payment(), user.id))


def test_a_paid_checkout_is_credited_once(client: FlaskClient, user: User) -> None:
    event = bought(user)
    for _ in range(3):
        answer = deliver(client, event)
        assert (answer.status_code, answer.json) == (200, {"received": True})
    other = {**event, "id": "evt_another", "type": "checkout.session.async_payment_succeeded"}
    assert deliver(client, other).status_code == 200
    assert balance(user) == "100.0000"
    (entry,) = user.get("credits/history").json["entries"]
    assert (entry["direction"], entry["source"], entry["description"]) == ("CREDIT", "STRIPE", "Stripe: cred10")
    assert entry["reference_id"] == f"stripe:{event['data']['object']['payment_intent']}"


@pytest.mark.parametrize(("sku", "price_minor", "credits"), [("cred50", 5000, "500.0000"), ("cred100", 10_000, "1000.0000")])
def test_packages_are_those_of_the_settings(client: FlaskClient, user: User, sku: str, price_minor: int, credits: str) -> None:
    paid = stripe.session(stripe.new_payment(), user.id, sku, price_minor)
    deliver(client, stripe.event("checkout.session.completed", paid))
    assert balance(user) == credits


def test_tax_on_top_is_no_wrong_amount(client: FlaskClient, user: User) -> None:
    taxed = stripe.session(stripe.new_payment(), user.id, total_minor=1190, total_details={"amount_tax": 190})
    deliver(client, stripe.event("checkout.session.completed", taxed))
    assert balance(user) == "100.0000"


def refused(answer: Any) -> str:
    assert answer.status_code == 400 and set(answer.json) == {"detail"}, answer.json
    return answer.json["detail"]  # type: ignore[no-any-return]


def forgeries(body: bytes) -> dict[str, tuple[bytes, str | None]]:
    good, now = stripe.signed(body), int(time.time())
    timestamp, entry = good.split(",")[:2]
    digest = entry.removeprefix("v1=")
    return {
        "no header": (body, None),
        "an empty header": (body, ""),
        "no time": (body, entry),
        "no signature": (body, timestamp),
        "only the old scheme": (body, f"{timestamp},v0={digest}"),
        "another secret": (body, stripe.signed(body, "whsec_guessed")),
        "an empty secret": (body, stripe.signed(body, "")),
        "other bytes": (body.replace(b"cred10", b"cred100"), good),
        "one byte more": (body + b" ", good),
        "the same JSON, written anew": (json.dumps(json.loads(body)).encode(), good),
        "another time": (body, good.replace(timestamp, f"t={now + 1}")),
        "two times": (body, f"t={now - 1000},{good}"),
        "a time that is no number": (body, stripe.signed(body, timestamp="1e9")),
        "a time in other digits": (body, stripe.signed(body, timestamp="٣")),
        "a signed negative time": (body, stripe.signed(body, timestamp=-now)),
        "a huge time": (body, stripe.signed(body, timestamp="9" * 5000)),
        "stale": (body, stripe.signed(body, timestamp=now - 302)),
        "from the future": (body, stripe.signed(body, timestamp=now + 302)),
        "half a digest": (body, f"{timestamp},v1={digest[:32]}"),
        "upper case": (body, f"{timestamp},v1={digest.upper()}"),
        "no ASCII": (body, f"{timestamp},v1=é"),
        "a thousand signatures": (body, f"{timestamp},{','.join(['v1=' + '0' * 64] * 1000)},{entry}"),
    }


@pytest.mark.parametrize("name", forgeries(b"{}"))
def test_forged_and_stale_events_are_400_and_change_nothing(client: FlaskClient, user: User, hub: Hub, name: str) -> None:
    body, header = forgeries(stripe.body(bought(user)))[name]
    refused(send(client, body, header))
    assert balance(user) == "0.0000"
    with hub.database.read_only() as session:
        assert card_payments.problems(session) == []


def test_several_signatures_and_a_time_within_the_tolerance_are_fine(client: FlaskClient, user: User) -> None:
    body, now = stripe.body(bought(user)), int(time.time())
    for header in (
        stripe.signed(body, "whsec_of_another_endpoint", stripe.SECRET),
        stripe.signed(body, timestamp=now - 290),
        stripe.signed(body, timestamp=now + 290),
        stripe.signed(body).replace(",", " , "),
    ):
        assert send(client, body, header).status_code == 200, header
    assert balance(user) == "100.0000"


@pytest.mark.parametrize("secrets", [f"{OLD},{NEW}", f" {NEW} , {OLD} ,"])
def test_a_secret_is_replaced_without_losing_an_event(client: FlaskClient, hub: Hub, user: User, secrets: str) -> None:
    object.__setattr__(hub.settings, "stripe_webhook_secret", secrets)
    for secret in (OLD, NEW):
        body = stripe.body(bought(user))
        assert send(client, body, stripe.signed(body, secret)).status_code == 200
    body = stripe.body(bought(user))
    refused(send(client, body, stripe.signed(body, secrets)))
    assert balance(user) == "200.0000"


def test_without_a_secret_nothing_is_taken(client: FlaskClient, hub: Hub, user: User) -> None:
    for secrets in ("", " , "):
        object.__setattr__(hub.settings, "stripe_webhook_secret", secrets)
        body = stripe.body(bought(user))
        assert "STRIPE_WEBHOOK_SECRET" in refused(send(client, body, stripe.signed(body, "")))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"evt"', b"17", b"{", b"{}", b'{"id":1,"type":"x"}', b'{"id":"evt","type":null}', b"\xff\xfe",
     b'{"id":"","type":"x"}', b'{"id":"evt","type":"x","amount":NaN}', b'{"id":"evt","type":"x","amount":1e999}',
     b'{"id":"e\\u0000","type":"x"}',
     b'{"id":"evt","type":"x","deep":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"id":"' + b"e" * 300 + b'","type":"x"}',
     b'{"id":"evt","type":"x","n":' + b"9" * 5000 + b"}"],
)
def test_signed_bodies_that_are_no_events_are_400(client: FlaskClient, body: bytes) -> None:
    refused(send(client, body, stripe.signed(body)))


def test_a_huge_body_is_413_before_anything_is_computed(client: FlaskClient, hub: Hub) -> None:
    body = b'{"id":"' + b"x" * hub.settings.max_json_bytes + b'"}'
    answer = send(client, body, stripe.signed(body))
    assert answer.status_code == 413 and set(answer.json) == {"detail"}


WEIRD = [None, 1, "x", [], {}, {"payment_intent": 5}, {"payment_status": "paid"}, {"id": "x", "amount_received": -1},
         {"id": "x", "amount_received": True, "currency": "usd"}, {"id": "x", "amount_received": 10**13, "currency": "usd"},
         {"id": "x" * 300, "amount_received": 1, "currency": "usd"}, {"id": "x", "amount_refunded": 1.5},
         {"id": "re", "payment_intent": {}, "amount": 1, "status": "succeeded"},
         {"id": "re", "payment_intent": "pi", "amount": 1, "status": "lost in the mail"}]


@pytest.mark.parametrize("value", WEIRD)
def test_known_events_with_weird_objects_are_taken_and_kept(client: FlaskClient, hub: Hub, value: Any) -> None:
    kinds = ("checkout.session.completed", "payment_intent.succeeded", "charge.refunded", "refund.updated")
    for kind in (*kinds, "charge.dispute.created"):
        assert deliver(client, stripe.event(kind, value)).json == {"received": True}
    for data in ({}, None, [], "x"):
        assert deliver(client, {**stripe.event(kinds[1], {}), "data": data}).json == {"received": True}
    with hub.database.read_only() as session:
        found = card_payments.problems(session)
    assert found and all(item.body and item.code and item.message for item in found)


OTHERS = ["customer.created", "checkout.session.expired", "payment_intent.payment_failed", "refunds", "x"]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_events_are_received_and_say_nothing(client: FlaskClient, user: User, hub: Hub, kind: str) -> None:
    unpaid = stripe.session(stripe.new_payment(), user.id, payment_status="unpaid")
    for event in (stripe.event(kind, unpaid), stripe.event("checkout.session.completed", unpaid)):
        assert deliver(client, event).json == {"received": True}
    assert balance(user) == "0.0000"
    with hub.database.read_only() as session:
        assert card_payments.problems(session) == []
