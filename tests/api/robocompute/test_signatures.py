"""A key that begins with rc_ counts only with its wallet's signature, in every dialect; version 2 is good once."""

import base64
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from werkzeug.test import EnvironBuilder

from app.api.cocoon import watching
from app.config_checks import unsafe
from app.core import accounts, credits
from app.factory import create_app
from app.values import clock
from app.values.money import parse
from app.values.purposes import Purpose
from app.wiring import Hub
from tests.api.conftest import Market
from tests.api.robocompute.conftest import Person
from tests.factories.wallet_requests import now_seconds, sign, version_1, version_2

KEYS, BALANCE, DEDUCT = "/rnp/v1/keys", "/api/v1/credits/balance", "/api/v1/credits/deduct"
ORDER = json.dumps({"name": "one", "scopes": ["jobs:read"]}).encode()
CODE = "WALLET_SIGNATURE_INVALID"


@pytest.fixture
def person(client: FlaskClient, hub: Hub) -> Person:
    return Person(client, hub, "rc_live_")


@pytest.fixture
def clocked() -> Iterator[Any]:
    """Moves the hub's clock."""
    yield lambda seconds: clock.replace_clock(lambda: clock_start + timedelta(seconds=seconds))
    clock.replace_clock(None)


clock_start = clock.now()


def refused(answer: Any, reason: str, code: str = CODE) -> None:
    assert (answer.status_code, answer.json["error"]["code"]) == (401, code), answer.json
    assert answer.json["error"]["details"].get("reason") == reason, answer.json
    assert answer.json["error"]["message"]


def make_key(person: Person, body: bytes = ORDER, **options: Any) -> Any:
    """Make a key by a request signed in version 2: something that is done once too often when it is done twice."""
    head = version_2(person.keypair, person.key, "POST", KEYS, body, **options)
    return person.client.post(KEYS, data=body, headers=head | {"Content-Type": "application/json"})


def keys_of(person: Person) -> int:
    head = version_2(person.keypair, person.key, "GET", KEYS)
    return int(person.client.get(KEYS, headers=head).json["count"])


def test_version_1_is_path_below_api_v1_in_every_dialect(person: Person) -> None:
    for path in (BALANCE, KEYS, f"{BALANCE}?limit=5"):
        head = version_1(person.keypair, person.key, "GET", path)
        assert person.client.get(path, headers=head).status_code == 200
        assert person.client.get(path, headers=head).status_code == 200, "a second is the same text: version 1 is not single-use"
        as_key = {"X-API-Key": head["Authorization"].split()[1]} | {name: head[name] for name in list(head)[1:]}
        assert person.client.get(path, headers=as_key).status_code == 200


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("missing", {"X-Wallet-Signature": None}),
    ("missing", {"X-Timestamp": None}),
    ("missing", {"X-Wallet-Signature": " "}),
    ("malformed", {"X-Timestamp": "now"}),
    ("malformed", {"X-Timestamp": "1700000000.5"}),
    ("malformed", {"X-Timestamp": "-1"}),
    ("malformed", {"X-Timestamp": "²"}),
    ("malformed", {"X-Timestamp": "9" * 400}),
    ("malformed", {"X-Wallet-Signature": "x" * 5000}),
    ("skewed", {"X-Timestamp": "0"}),
    ("skewed", {"X-Timestamp": "999999999999"}),
    ("wrong", {"X-Wallet-Signature": "x"}),
    ("wrong", {"X-Wallet-Signature": "é"}),
    ("wrong", {"X-Wallet-Signature": base64.b64encode(bytes(64)).decode()}),
    ("version", {"X-Signature-Version": "3"}),
    ("version", {"X-Signature-Version": "two"}),
    ("malformed", {"X-Signature-Version": "2"}),  # without X-Nonce
    ("malformed", {"X-Signature-Version": "2", "X-Nonce": "n" * 129}),
    ("malformed", {"X-Signature-Version": "2", "X-Nonce": "é"}),
    ("wrong", {"X-Signature-Version": "2", "X-Nonce": "n"}),  # signed as version 1
]


@pytest.mark.parametrize(("reason", "changes"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_signature_is_401_with_a_reason(person: Person, reason: str, changes: dict[str, Any]) -> None:
    head = version_1(person.keypair, person.key, "GET", KEYS) | changes
    sent = {name: value.encode().decode("latin-1") for name, value in head.items() if value is not None}
    refused(person.client.get(KEYS, headers=sent), reason)
    assert person.client.get(KEYS, headers=version_1(person.keypair, person.key, "GET", KEYS)).status_code == 200


def test_a_signature_of_something_or_somebody_else_is_wrong(person: Person, stranger: Person) -> None:
    good = {"Authorization": f"Bearer {person.key}", "X-Timestamp": str(now_seconds())}
    when = good["X-Timestamp"]
    texts = (f"POST{KEYS}{when}", f"GET/keys{when}", f"GET{KEYS}?x=1{when}", f"GET{KEYS}{int(when) + 1}", f"get{KEYS}{when}", "")
    for text in texts:
        refused(person.client.get(KEYS, headers=good | {"X-Wallet-Signature": sign(person.keypair, text)}), "wrong")
    stub = base64.b64encode(f"GET{KEYS}{when}".encode()).decode()
    for other in (sign(stranger.keypair, f"GET{KEYS}{when}"), stub):
        refused(person.client.get(KEYS, headers=good | {"X-Wallet-Signature": other}), "wrong")
    unknown = person.client.get(KEYS, headers=version_1(person.keypair, "rc_live_unknown", "GET", KEYS))
    assert (unknown.status_code, unknown.json["error"]["code"]) == (401, "INVALID_API_KEY")


def test_the_window_is_300_seconds_both_ways(person: Person, clocked: Any) -> None:
    clocked(0)
    now = now_seconds()
    for off, reason in ((-299, None), (299, None), (-302, "skewed"), (302, "skewed")):
        answer = person.client.get(KEYS, headers=version_1(person.keypair, person.key, "GET", KEYS, now + off))
        if reason is None:
            assert answer.status_code == 200
        else:
            refused(answer, reason)
            assert abs(answer.json["error"]["details"]["server_time"] - now) <= 1


def test_it_is_401_before_the_body_is_looked_at(person: Person) -> None:
    head = {"Authorization": f"Bearer {person.key}", "Content-Type": "application/json"}
    refused(person.client.post(KEYS, data=b"{", headers=head), "missing")
    signed = version_2(person.keypair, person.key, "POST", KEYS, b"[]")
    refused(person.client.post(KEYS, data=b"{", headers=signed | head), "wrong")


def test_a_request_that_is_refused_is_used_up_all_the_same(person: Person) -> None:
    head = version_2(person.keypair, person.key, "POST", KEYS, b"[]")
    assert person.client.post(KEYS, data=b"[]", headers=head).status_code == 400
    refused(person.client.post(KEYS, data=b"[]", headers=head), "replayed")
    path = f"{KEYS}/{uuid.uuid4()}"
    head = version_2(person.keypair, person.key, "DELETE", path)
    assert person.client.delete(path, headers=head).status_code == 404
    refused(person.client.delete(path, headers=head), "replayed")


def test_version_2_covers_query_and_body_and_is_good_once(person: Person) -> None:
    path = f"{KEYS}?after=1&x=%20"
    for is_whole in (True, False):
        head = version_2(person.keypair, person.key, "GET", path, is_whole=is_whole)
        refused(person.client.get(f"{KEYS}?after=2", headers=head), "wrong")
        assert person.client.get(path, headers=head).status_code == 200
        refused(person.client.get(path, headers=head), "replayed")
    head = version_2(person.keypair, person.key, "GET", BALANCE) | {"X-API-Key": person.key}
    assert person.client.get(BALANCE, headers=head).status_code == 200
    head = version_2(person.keypair, person.key, "POST", KEYS, ORDER, "once") | {"Content-Type": "application/json"}
    refused(person.client.post(KEYS, data=ORDER.replace(b"read", b"write"), headers=head), "wrong")
    assert keys_of(person) == 1, "what was not signed was not done"
    assert person.client.post(KEYS, data=ORDER, headers=head).status_code == 201
    refused(person.client.post(KEYS, data=ORDER, headers=head), "replayed")
    refused(make_key(person, ORDER + b" ", nonce="once"), "replayed")
    assert keys_of(person) == 2


def test_a_key_that_has_used_version_2_takes_no_older_one(person: Person, hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        other = accounts.create_key(session, person.account_id, "other", ["keys:read"], "rc_live_")
    assert make_key(person, nonce="n").status_code == 201
    refused(person.client.get(KEYS, headers=version_1(person.keypair, person.key, "GET", KEYS)), "outdated")
    assert person.client.get(KEYS, headers=version_1(person.keypair, other, "GET", KEYS)).status_code == 200
    head = version_2(person.keypair, other, "GET", KEYS, nonce="n")
    assert person.client.get(KEYS, headers=head).status_code == 200, "a nonce is its key's own"


def test_one_of_many_copies_at_once_has_an_effect(person: Person, settings: Any) -> None:
    head = version_2(person.keypair, person.key, "POST", KEYS, ORDER) | {"Content-Type": "application/json"}
    apps = [create_app(settings) for _ in range(2)]

    def send(number: int) -> int:
        return apps[number % 2].test_client().post(KEYS, data=ORDER, headers=head).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(send, range(16)))
    assert answers == [201] + [401] * 15
    assert keys_of(person) == 2
    for app in apps:
        app.extensions["lightyard"].database.engine.dispose()


def test_what_is_forgotten_is_too_old_to_be_sent_again(person: Person, hub: Hub, clocked: Any) -> None:
    clocked(0)
    head = version_2(person.keypair, person.key, "GET", KEYS)
    assert person.client.get(KEYS, headers=head).status_code == 200
    for seconds, reason in ((299, "replayed"), (601, "skewed")):
        clocked(seconds)
        with hub.database.unit_of_work() as session:
            accounts.forget_used_messages(session)
        refused(person.client.get(KEYS, headers=head), reason)


def test_a_kept_answer_wants_the_signature_too(person: Person, hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        credits.grant(session, person.account_id, parse("10", credits.ASSET), "test:gift", Purpose.ADJUSTMENT, "gift")
    body = json.dumps({"amount": "1.0000", "reference_id": "r"}).encode()

    def deduct(head: dict[str, str]) -> Any:
        more = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        return person.client.post(DEDUCT, data=body, headers=head | more)

    first, again = (version_2(person.keypair, person.key, "POST", DEDUCT, body) for _ in range(2))
    assert deduct(first).status_code == 200
    for head in (first, {"Authorization": f"Bearer {person.key}"}):
        assert deduct(head).status_code == 401, "neither the old signature nor none"
    replayed = deduct(again)
    assert replayed.status_code == 200 and replayed.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("triangles", [1, 50_000])  # in memory, and larger than is kept there
def test_a_form_is_signed_whole(person: Person, market: Market, triangles: int) -> None:
    solid = bytes(80) + triangles.to_bytes(4, "little") + bytes(50 * triangles)
    fields = {"clientWallet": person.wallet, "settings": "{}", "file": (io.BytesIO(solid), "part.stl")}
    builder = EnvironBuilder(method="POST", path="/render", data=fields)
    sent = builder.get_environ()
    kind, body = sent["CONTENT_TYPE"], sent["wsgi.input"].read()
    head = version_2(person.keypair, person.key, "POST", "/render", body)
    more = {"Content-Type": kind, "Idempotency-Key": str(uuid.uuid4())}
    tampered = body.replace(b"{}", b'{"frames":{"start":1,"end":9}}')
    for form, status in ((tampered, 401), (body, 402), (body, 401)):
        answer = person.client.post("/render", data=form, headers=head | more)
        assert answer.status_code == status, answer.json
    assert answer.json["code"] == CODE


class Unread(io.RawIOBase):
    """A form on its way that nobody should wait for."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise AssertionError("the form was read")


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/render", 401, "INVALID_API_KEY"),  # which takes a form, of a key that works
    (KEYS, 400, "INVALID_JSON"),  # which takes none
    ("/rnp/v1/nowhere", 404, "NOT_FOUND"),
    ("/provider/job/x/complete", 401, "INVALID_API_KEY"),
])  # fmt: skip
def test_a_large_form_that_does_no_good_is_not_read(person: Person, path: str, status: int, code: str) -> None:
    key = person.key if path == KEYS else "rc_live_unknown"
    head = version_2(person.keypair, key, "POST", path, b"whatever")
    more = {"Content-Type": "multipart/form-data; boundary=x", "Idempotency-Key": "k"}
    on_its_way = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(10**9)}
    answer = person.client.post(path, headers=head | more, environ_overrides=on_its_way)
    said = answer.json["error"]["code"] if isinstance(answer.json["error"], dict) else answer.json["code"]
    assert (answer.status_code, said) == (status, code), answer.json


def test_any_wallet_of_the_account_signs(person: Person, hub: Hub) -> None:
    second = Keypair()
    head = version_1(second, person.key, "GET", KEYS)
    refused(person.client.get(KEYS, headers=head), "wrong")
    with hub.database.unit_of_work() as session:
        accounts.link_identity(session, person.account_id, "solana", str(second.pubkey()))
    assert person.client.get(KEYS, headers=head).status_code == 200
    assert person.client.get(KEYS, headers=version_1(person.keypair, person.key, "GET", KEYS)).status_code == 200


def test_the_key_still_ends_and_still_has_its_scopes(person: Person, hub: Hub) -> None:
    reads = Person(person.client, hub, "rc_live_", ("keys:read",))
    answer = make_key(reads)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "SCOPE_MISSING")
    (key,) = reads.client.get(KEYS, headers=version_2(reads.keypair, reads.key, "GET", KEYS)).json["keys"]
    assert key["needs_wallet_signature"] is True and reads.key.startswith(key["prefix"]) and len(key["prefix"]) == 15
    with hub.database.unit_of_work() as session:
        assert accounts.revoke_key(session, uuid.UUID(key["id"]))
    ended = reads.client.get(KEYS, headers=version_2(reads.keypair, reads.key, "GET", KEYS))
    assert (ended.status_code, ended.json["error"]["code"]) == (401, "INVALID_API_KEY")


def test_a_watcher_signs_once_and_is_renewed_without(person: Person, hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        accounts.grant_role(session, person.account_id, "operator")
    path = f"/ws/metrics?token={person.key}"
    head = version_2(person.keypair, person.key, "GET", path)
    with person.client.application.test_request_context(path, headers=head), hub.database.read_only() as session:
        found = watching.admit(session)
    with hub.database.read_only() as session:
        assert found.among is None and found.renew(session) is None


@pytest.mark.parametrize(("kind", "prefix"), [("robocompute", "rc_live_"), ("robocompute_provider", "rc_prov_live_")])
def test_keys_for_the_sdk_are_made_over_the_api(client: FlaskClient, hub: Hub, kind: str, prefix: str) -> None:
    maker = Person(client, hub, "ly_")
    order = {"name": "sdk", "scopes": ["tasks:read", "tasks:write", "keys:read"], "kind": kind}
    made = client.post(KEYS, json=order, headers={"Authorization": f"Bearer {maker.key}"})
    assert made.status_code == 201 and made.json["secret"].startswith(prefix) and made.json["needs_wallet_signature"]
    refused(client.get(KEYS, headers={"Authorization": f"Bearer {made.json['secret']}"}), "missing")
    assert client.get(KEYS, headers=version_1(maker.keypair, made.json["secret"], "GET", KEYS)).status_code == 200
    with hub.database.unit_of_work() as session:
        owner = accounts.ensure_identity(session, "email", "jane@example.com")
        walletless = accounts.create_key(session, owner, "x", ["keys:write", "tasks:read", "tasks:write", "keys:read"])
    answer = client.post(KEYS, json=order, headers={"Authorization": f"Bearer {walletless}"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "WALLET_MISSING")
    answer = client.post(KEYS, json=order | {"kind": "rc_"}, headers={"Authorization": f"Bearer {maker.key}"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_INPUT")


def test_the_reference_sdks_stub_is_taken_only_where_it_is_switched_on(person: Person, settings: Any) -> None:
    when = str(now_seconds())
    stub = base64.b64encode(f"GET{KEYS}{when}".encode()).decode()
    head = {"Authorization": f"Bearer {person.key}", "X-Timestamp": when, "X-Wallet-Signature": stub}
    refused(person.client.get(KEYS, headers=head), "wrong")
    lenient = replace(settings, accept_stub_signatures=True)
    app = create_app(lenient)
    assert app.test_client().get(KEYS, headers=head).status_code == 200
    assert app.test_client().get(BALANCE, headers=head).status_code == 401, "of another request"
    app.extensions["lightyard"].database.engine.dispose()
    assert "ACCEPT_STUB_SIGNATURES" in unsafe(replace(lenient, lightyard_env="production"))
