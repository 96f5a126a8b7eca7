"""Register, log in, refresh, log out: the seed's bodies and codes, and what somebody with bad intentions would send."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api import security
from app.core import accounts, sign_ins
from app.factory import create_app
from app.models.accounts import SCOPES, Account
from app.values import clock, passwords
from app.wiring import Hub
from tests.api.conftest import FakeNode, Market
from tests.api.rendertrust.conftest import PASSWORD, User


@pytest.fixture
def later() -> Iterator[Any]:
    """Moves the hub's clock forward by so many seconds."""
    yield lambda seconds: clock.replace_clock(lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    clock.replace_clock(None)


def log_in(client: FlaskClient, email: str, password: str = PASSWORD) -> Any:
    return client.post("/api/v1/auth/login", json={"email": email, "password": password})


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))  # type: ignore[no-any-return]


def balance_with(client: FlaskClient, token: str) -> Any:
    return client.get("/api/v1/credits/balance", headers={"Authorization": f"Bearer {token}"})


def assert_refused(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.json
    assert set(answer.json) == {"detail"} and answer.json["detail"]
    return str(answer.json["detail"])


def test_registering_answers_as_the_seed_says(client: FlaskClient) -> None:
    body = {"email": "user@example.com", "name": "Jane Smith", "password": "securepassword123"}
    answer = client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 201
    user, tokens = answer.json["user"], answer.json["tokens"]
    assert uuid.UUID(user.pop("id"))
    assert user == {"email": "user@example.com", "name": "Jane Smith", "is_active": True}
    assert set(tokens) == {"access_token", "refresh_token", "token_type"} and tokens["token_type"] == "bearer"
    access, refresh = claims_of(tokens["access_token"]), claims_of(tokens["refresh_token"])
    assert (access["token_type"], refresh["token_type"]) == ("access", "refresh")
    assert (access["exp"] - access["iat"], refresh["exp"] - refresh["iat"]) == (1800, 7 * 86_400)
    assert access["jti"] != refresh["jti"] and access["sid"] == refresh["sid"]
    assert "secure" not in json.dumps(access) and balance_with(client, tokens["access_token"]).status_code == 200


def test_the_password_is_stored_as_argon2id(client: FlaskClient, hub: Hub) -> None:
    user = User(client)
    with hub.database.read_only() as session:
        found = accounts.credentials(session, "email", user.email)
    assert found is not None and found.secret_hash is not None
    assert found.secret_hash.startswith("$argon2id$") and PASSWORD not in found.secret_hash


@pytest.mark.parametrize(
    "same", ["USER@Example.COM", " user@example.com ", "User@EXAMPLE.com"]
)
def test_an_address_is_one_account_however_it_is_spelled(client: FlaskClient, same: str) -> None:
    User(client, "user@example.com")
    body = {"email": same, "name": "x", "password": PASSWORD}
    assert_refused(client.post("/api/v1/auth/register", json=body), 409)
    assert log_in(client, same).status_code == 200


def test_unicode_addresses_are_one_account_composed_or_not(client: FlaskClient) -> None:
    User(client, "j\u00fcrgen@b\u00fccher.example.com")
    for same in ("ju\u0308rgen@bu\u0308cher.example.com", "J\u00dcRGEN@xn--bcher-kva.example.com"):
        assert log_in(client, same).status_code == 200
        answer = client.post("/api/v1/auth/register", json={"email": same, "name": "x", "password": PASSWORD})
        assert_refused(answer, 409)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("email", bad) for bad in (
            "", "x", "@example.com", "a@", "a@b", "a b@example.com", "a@exam ple.com", "a@@example.com", "a@example..com",
            "a@example.com\n.b", f"{'a' * 250}@example.com", None, 5, ["a@example.com"], {})),
        *(("password", bad) for bad in ("", "1234567", "x" * 257, None, 12345678, ["securepassword"])),
        *(("name", bad) for bad in ("", "x" * 256, None, 5)),
    ],
    ids=repr,
)
def test_bad_fields_are_422(client: FlaskClient, field: str, value: Any) -> None:
    body = {"email": "user@example.com", "name": "Jane", "password": PASSWORD, field: value}
    detail = assert_refused(client.post("/api/v1/auth/register", json=body), 422)
    assert field in detail
    del body[field]
    assert field in assert_refused(client.post("/api/v1/auth/register", json=body), 422)


def test_passwords_at_the_limits_are_taken_whole(client: FlaskClient) -> None:
    long = "pa\u00dfwort \u2603 " * 25 + "123456"
    assert len(long) == 256
    for number, password in enumerate(("12345678", long)):
        email = f"limit{number}@example.com"
        body = {"email": email, "name": "x", "password": password}
        assert client.post("/api/v1/auth/register", json=body).status_code == 201
        assert log_in(client, email, password).status_code == 200
        assert log_in(client, email, password[:-1]).status_code == 401


def test_twenty_registrations_of_one_address_make_one_account(client: FlaskClient) -> None:
    def register(_: int) -> int:
        body = {"email": "race@example.com", "name": "x", "password": PASSWORD}
        return int(client.application.test_client().post("/api/v1/auth/register", json=body).status_code)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(register, range(20))) == [201] + [409] * 19


def test_wrong_passwords_unknown_addresses_and_dead_accounts_look_alike(client: FlaskClient, hub: Hub) -> None:
    user, off = User(client), User(client)
    with hub.database.unit_of_work() as session:
        session.get_one(Account, off.id).is_active = False
        wallet = accounts.ensure_identity(session, "email", "no-password@example.com")
        assert wallet
    tries = [
        (user.email, "wrong password"), ("nobody@example.com", PASSWORD), (off.email, PASSWORD), (off.email, "wrong password"),
        ("no-password@example.com", PASSWORD), ("no address", PASSWORD), ("", PASSWORD),
    ]
    answers = [log_in(client, *each) for each in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert balance_with(client, off.tokens["access_token"]).status_code == 401
    assert off.refresh().status_code == 401


def test_every_refused_login_hashes_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time can't be held still here, so the work is counted: one hash, at one cost, whoever is asked for."""
    user, hashed = User(client), []
    verify = passwords._HASHER.verify

    def counting(hash: str, password: str) -> bool:
        hashed.append(hash.split("$")[:4])
        return verify(hash, password)

    monkeypatch.setattr(passwords, "_HASHER", type("Counting", (), {"verify": staticmethod(counting),
                                                                    "hash": passwords._HASHER.hash}))
    for email in (user.email, "nobody@example.com", "no address"):
        assert log_in(client, email, "wrong password").status_code == 401
    assert len(hashed) == 3 and hashed[0] == hashed[1] == hashed[2]


def test_refresh_rotates(client: FlaskClient, user: User) -> None:
    answer = user.refresh()
    assert answer.status_code == 200 and set(answer.json) == {"access_token", "refresh_token", "token_type"}
    assert answer.json["refresh_token"] != user.tokens["refresh_token"]
    assert balance_with(client, answer.json["access_token"]).status_code == 200
    assert user.refresh(answer.json["refresh_token"]).status_code == 200


def test_a_used_refresh_token_ends_the_sign_in_everywhere(client: FlaskClient, settings, user: User, later) -> None:
    other = create_app(settings).test_client()
    second = user.refresh().json
    later(sign_ins.RACE_SECONDS + 1)
    stolen = user.refresh()  # the first token, shown again
    refusal = assert_refused(stolen, 401)
    for process in (client, other):
        assert balance_with(process, second["access_token"]).status_code == 401
        answer = process.post("/api/v1/auth/refresh", json={"refresh_token": second["refresh_token"]})
        assert assert_refused(answer, 401) == refusal
    assert log_in(client, user.email).status_code == 200


def test_a_token_older_than_the_last_one_ends_the_sign_in_even_at_once(client: FlaskClient, user: User) -> None:
    second = user.refresh().json
    third = user.refresh(second["refresh_token"]).json
    assert user.refresh().status_code == 401
    assert user.refresh(third["refresh_token"]).status_code == 401


def test_a_double_click_costs_nobody_the_sign_in_and_gains_nothing(client: FlaskClient, user: User) -> None:
    def refresh(_: int) -> Any:
        token = user.tokens["refresh_token"]
        return client.application.test_client().post("/api/v1/auth/refresh", json={"refresh_token": token})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(refresh, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    refused = {answer.data for answer in answers if answer.status_code == 401}
    assert refused == {client.post("/api/v1/auth/refresh", json={"refresh_token": "a.b.c"}).data}
    (won,) = (answer.json for answer in answers if answer.status_code == 200)
    assert user.refresh(won["refresh_token"]).status_code == 200


def test_logging_out_counts_at_once_in_every_process(client: FlaskClient, settings, user: User) -> None:
    other = create_app(settings).test_client()
    elsewhere = log_in(other, user.email).json
    assert balance_with(other, user.tokens["access_token"]).status_code == 200
    answer = user.post("auth/logout")
    assert (answer.status_code, answer.json) == (200, {"message": "Logged out successfully"})
    for process in (client, other):
        assert_refused(balance_with(process, user.tokens["access_token"]), 401)
        answer = process.post("/api/v1/auth/refresh", json={"refresh_token": user.tokens["refresh_token"]})
        assert_refused(answer, 401)
        assert balance_with(process, elsewhere["access_token"]).status_code == 200  # another sign-in lives on
    assert_refused(user.post("auth/logout"), 401)


def test_logging_out_takes_an_access_token(client: FlaskClient, hub: Hub, user: User) -> None:
    with hub.database.unit_of_work() as session:
        key = accounts.create_key(session, user.id, "test", ["credits:read"])
    for token in (None, key, user.tokens["refresh_token"]):
        head = {"Authorization": f"Bearer {token}"} if token else {}
        assert_refused(client.post("/api/v1/auth/logout", headers=head), 401)
    assert user.get("credits/balance").status_code == 200


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def forge(header: Any, claims: Any, key: bytes, digest: str = "sha256") -> str:
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(key, signed.encode(), digest).digest())}"


def attacks(user: User, secret: bytes) -> dict[str, str]:
    """Tokens that must not be believed; `secret` is the hub's own, for those that only it could have signed."""
    token = user.tokens["access_token"]
    head, body, signature = token.split(".")
    claims, now = claims_of(token), int(time.time())
    good = {"alg": "HS256", "typ": "JWT"}
    refresh = claims_of(user.tokens["refresh_token"])
    without = {name: {key: value for key, value in claims.items() if key != name} for name in claims}
    return {
        "no signature": f"{head}.{body}.",
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "alg None": f"{part({'alg': 'None', 'typ': 'JWT'})}.{body}.",
        "alg none, signed": f"{part({'alg': 'none'})}.{body}.{signature}",
        "no alg": f"{part({'typ': 'JWT'})}.{body}.{signature}",
        "alg of another kind": f"{part({'alg': ['HS256']})}.{body}.{signature}",
        "alg null": f"{part({'alg': None})}.{body}.{signature}",
        "HS512 with our key": forge({"alg": "HS512", "typ": "JWT"}, claims, secret, "sha512"),
        "HS384 with our key": forge({"alg": "HS384", "typ": "JWT"}, claims, secret, "sha384"),
        "key confusion": forge({"alg": "RS256", "typ": "JWT"}, claims, secret),
        "ES256": forge({"alg": "ES256", "typ": "JWT"}, claims, secret),
        "empty key": forge(good, claims, b""),
        "guessed key": forge(good, claims, b"secret"),
        "kid to an empty file": forge({**good, "kid": "../../../../dev/null"}, claims, b""),
        "kid to a query": forge({**good, "kid": "x' UNION SELECT 'key"}, claims, b"key"),
        "own jwk": forge({**good, "jwk": {"kty": "oct", "k": part(b"key")}}, claims, b"key"),
        "jku elsewhere": forge({**good, "jku": "http://127.0.0.1:1/keys"}, claims, b"key"),
        "critical extension": forge({**good, "crit": ["b64"], "b64": False}, claims, secret),
        "expired": forge(good, {**claims, "exp": now - 1}, secret),
        "not yet": forge(good, {**claims, "nbf": now + 600}, secret),
        "ends never": forge(good, without["exp"], secret),
        "ends in words": forge(good, {**claims, "exp": "tomorrow"}, secret),
        "ends at infinity": forge(good, {**claims, "exp": 1e400}, secret),
        "ends true": forge(good, {**claims, "exp": True}, secret),
        "no sign-in": forge(good, without["sid"], secret),
        "no account": forge(good, without["sub"], secret),
        "no type": forge(good, without["token_type"], secret),
        "another account": forge(good, {**claims, "sub": str(uuid.uuid4())}, secret),
        "an account of another kind": forge(good, {**claims, "sub": 5}, secret),
        "unknown sign-in": forge(good, {**claims, "sid": str(uuid.uuid4())}, secret),
        "a list for a sign-in": forge(good, {**claims, "sid": [claims["sid"]]}, secret),
        "a refresh token": user.tokens["refresh_token"],
        "a node's type": forge(good, {**claims, "token_type": "node"}, secret),
        "both types": forge(good, {**claims, "token_type": ["access", "refresh"]}, secret),
        "altered claims": f"{head}.{part({**claims, 'sub': str(uuid.uuid4())})}.{signature}",
        "claims of the other": f"{head}.{part(refresh)}.{signature}",
        "claims that are a list": forge(good, [claims], secret),
        "claims that are null": forge(good, None, secret),
        "claims without JSON": forge(good, b"\xff\xfe", secret),
        "header without end": f"{part(b'[' * 2500)}.{body}.{signature}",
        "claims without end": forge(good, b"[" * 2500, secret),
        "cut short": token[:-2],
        "one bit off": token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:],
        "lengthened": token + "." + signature,
        "five parts": f"{token}.a.b",
        "dots": "..",
        "garbage": "a.b.c",
        "binary": "\xff.\xfe.\xfd",
        "very long": "x" * 3000 + "." + "y" * 3000 + ".z",
        "key of nobody": "ly_" + hashlib.sha256(b"x").hexdigest(),
    }


def test_no_forged_token_is_ever_believed(client: FlaskClient, settings, user: User) -> None:
    for name, token in attacks(user, settings.secret_key.encode()).items():
        for path, method in (("credits/balance", "GET"), ("auth/logout", "POST")):
            answer = client.open(f"/api/v1/{path}", method=method, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, (name, answer.status_code, answer.json)
            assert set(answer.json) == {"detail"}, name
        node = client.post("/node/v1/heartbeat", json={}, headers={"Authorization": f"Bearer {token}"})
        assert node.status_code == 401, name
    assert user.get("credits/balance").status_code == 200


def test_no_forged_token_is_refreshed(client: FlaskClient, settings, user: User) -> None:
    mine = User(client)
    mine.tokens["access_token"] = user.tokens["refresh_token"]
    forged = attacks(mine, settings.secret_key.encode())
    del forged["a refresh token"], forged["both types"]
    for name, token in {**forged, "an access token": user.tokens["access_token"], "": ""}.items():
        answer = client.post("/api/v1/auth/refresh", json={"refresh_token": token})
        assert answer.status_code == 401, (name, answer.json)
    for body in ({}, {"refresh_token": None}, {"refresh_token": 5}, [], None):
        assert_refused(client.post("/api/v1/auth/refresh", json=body), 422)
    assert user.refresh().status_code == 200


def test_tokens_end_by_the_hubs_clock(client: FlaskClient, user: User, later) -> None:
    assert user.get("credits/balance").status_code == 200
    later(1801)
    assert_refused(user.get("credits/balance"), 401)
    later(7 * 86_400 + 1)
    assert_refused(user.refresh(), 401)


def test_a_nodes_token_is_no_users(market: Market, client: FlaskClient) -> None:
    node = FakeNode(market)
    answer = client.get("/api/v1/credits/balance", headers=node.headers)
    assert_refused(answer, 401)


def test_a_key_does_what_its_scopes_say(client: FlaskClient, hub: Hub, user: User) -> None:
    with hub.database.unit_of_work() as session:
        reads = accounts.create_key(session, user.id, "reads", ["credits:read"])
        other = accounts.create_key(session, user.id, "other", [scope for scope in SCOPES if scope != "credits:read"])
        signed = accounts.create_key(session, user.id, "robocompute", ["credits:read"], prefix="rc_")
    for head in ({"Authorization": f"Bearer {reads}"}, {"X-API-Key": reads}):
        answer = client.get("/api/v1/credits/balance", headers=head)
        assert (answer.status_code, answer.json["user_id"]) == (200, str(user.id))
        assert_refused(client.post("/api/v1/credits/deduct", json={"amount": "1", "reference_id": "x"}, headers=head), 403)
    assert_refused(client.get("/api/v1/credits/balance", headers={"X-API-Key": other}), 403)
    assert_refused(client.get("/api/v1/credits/balance", headers={"X-API-Key": signed}), 401)


def test_admin_scopes_need_the_role(client: FlaskClient, hub: Hub, user: User) -> None:
    with hub.database.unit_of_work() as session:
        key = accounts.create_key(session, user.id, "sly", ["admin:read", "jobs:read"])
    with client.application.test_request_context():
        for token in (key, user.tokens["access_token"]):
            with hub.database.read_only() as session:
                found = security.identify(session, token, "jobs:read")
            assert "admin:read" not in found.scopes and not found.is_operator
        with hub.database.unit_of_work() as session:
            accounts.grant_role(session, user.id, "operator")
        for token in (key, user.tokens["access_token"]):
            with hub.database.read_only() as session:
                assert security.identify(session, token, "admin:read").is_operator


def test_the_documents_limits_hold(settings) -> None:
    limited = replace(settings, rate_limits=True)
    processes = [create_app(limited).test_client() for _ in range(2)]
    for verb, per_minute in (("register", 10), ("login", 5), ("refresh", 3)):
        path = f"/api/v1/auth/{verb}"
        counted = [processes[number % 2].post(path, json={}).status_code for number in range(per_minute)]
        assert counted == [422] * per_minute
        for client in processes:
            answer = client.post(path, json={})
            assert_refused(answer, 429)
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert client.get("/api/v1/health").status_code == 200
