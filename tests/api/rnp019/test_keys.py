"""API keys: made, listed, ended; never worth more than whoever made them."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from sqlalchemy import select, update

from app.core import accounts, api_keys
from app.models.accounts import SCOPES, ApiKey
from app.values import clock
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import Door, bearer, refused

KEYS = "/rnp/v1/keys"


@pytest.fixture
def token(door: Door) -> str:
    return str(door.enter(door.solana_body(Keypair()))["access_token"])


def make(client: FlaskClient, token: str, *scopes: str, name: str = "render farm") -> Any:
    return client.post(KEYS, json={"name": name, "scopes": list(scopes)}, headers=bearer(token))


def test_a_key_is_shown_once_and_kept_as_a_hash(client: FlaskClient, hub: Hub, token: str) -> None:
    made = make(client, token, "jobs:write", "jobs:read", "jobs:read")
    assert made.status_code == 201
    shown = made.json
    secret = shown.pop("secret")
    assert set(shown) == {"id", "name", "prefix", "scopes", "needs_wallet_signature", "created_at"}
    assert shown["scopes"] == ["jobs:read", "jobs:write"] and shown["name"] == "render farm"
    assert secret.startswith(shown["prefix"]) and len(secret) > 40
    assert client.get(KEYS, headers=bearer(token)).json == {"keys": [shown], "count": 1}
    with hub.database.read_only() as session:
        rows = session.connection().exec_driver_sql("SELECT row_to_json(api_keys)::text FROM api_keys").scalars().all()
    assert len(rows) == 1 and secret not in rows[0] and accounts.hash_secret(secret) in rows[0]


def test_a_key_does_what_its_scopes_say_in_every_dialect(client: FlaskClient, token: str) -> None:
    secret = make(client, token, "credits:read").json["secret"]
    for head in (bearer(secret), {"X-API-Key": secret}):
        assert client.get("/api/v1/credits/balance", headers=head).status_code == 200
        assert client.get("/api/v1/jobs", headers=head).status_code == 403
        refused(client.get(KEYS, headers=head), 403, "SCOPE_MISSING")


def test_a_key_makes_no_key_that_can_more(client: FlaskClient, token: str) -> None:
    secret = make(client, token, "keys:write", "keys:read", "jobs:read").json["secret"]
    assert make(client, secret, "jobs:read", "keys:write").status_code == 201
    for scopes in (("jobs:write",), ("jobs:read", "credits:read"), ("admin:read",)):
        message = refused(make(client, secret, *scopes), 403, "SCOPE_MISSING")
        assert scopes[-1] in message
    refused(make(client, token, "admin:write"), 403, "SCOPE_MISSING")  # a sign-in of no operator
    assert client.get(KEYS, headers=bearer(token)).json["count"] == 2


def test_a_key_that_ends_makes_none_that_outlives_it(client: FlaskClient, hub: Hub) -> None:
    end = clock.now() + timedelta(hours=1)
    with hub.database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "email", "jane@example.com")
        secret = accounts.create_key(session, account, "a day's", ["keys:read", "keys:write"], expires_at=end)
    made = make(client, secret, "keys:read").json["secret"]
    for key in (secret, made):
        assert client.get(KEYS, headers=bearer(key)).json["count"] == 2
    with hub.database.unit_of_work() as session:
        assert session.execute(select(ApiKey.expires_at)).scalars().all() == [end, end]
        session.execute(update(ApiKey).values(expires_at=clock.now() - timedelta(seconds=1)))
    for key in (secret, made):
        refused(client.get(KEYS, headers=bearer(key)), 401, "INVALID_API_KEY")
    with hub.database.unit_of_work() as session:
        assert api_keys.of_account(session, account) == []


def test_an_operator_may_make_a_key_with_every_scope(client: FlaskClient, hub: Hub) -> None:
    with hub.database.unit_of_work() as session:
        operator = accounts.ensure_operator(session)
    assert make(client, operator, *SCOPES).json["scopes"] == sorted(SCOPES)


def test_a_deleted_key_is_worth_nothing_and_is_gone_from_the_list(client: FlaskClient, token: str) -> None:
    kept, ended = make(client, token, "keys:read").json, make(client, token, "keys:read").json
    answer = client.delete(f"{KEYS}/{ended['id']}", headers=bearer(token))
    assert (answer.status_code, answer.data) == (204, b"")
    refused(client.get(KEYS, headers=bearer(ended["secret"])), 401, "INVALID_API_KEY")
    assert [key["id"] for key in client.get(KEYS, headers=bearer(kept["secret"])).json["keys"]] == [kept["id"]]
    refused(client.delete(f"{KEYS}/{ended['id']}", headers=bearer(token)), 404, "NOT_FOUND")


def test_keys_are_their_accounts_own(client: FlaskClient, door: Door, token: str) -> None:
    made = make(client, token, "keys:read").json
    stranger = door.enter(door.solana_body(Keypair()))["access_token"]
    assert client.get(KEYS, headers=bearer(stranger)).json == {"keys": [], "count": 0}
    for key_id in (made["id"], UNKNOWN, str(uuid.uuid4())):
        refused(client.delete(f"{KEYS}/{key_id}", headers=bearer(stranger)), 404, "NOT_FOUND")
    refused(client.delete(f"{KEYS}/x", headers=bearer(stranger)), 400, "INVALID_INPUT")
    assert client.get(KEYS, headers=bearer(made["secret"])).status_code == 200


def test_bad_orders_are_400(client: FlaskClient, token: str) -> None:
    for body in (
        {},
        {"scopes": []},
        {"scopes": "jobs:read"},
        {"scopes": ["jobs"]},
        {"scopes": ["jobs:read", 7]},
        {"scopes": ["jobs:read"] * 1000},
        {"scopes": ["jobs:read"], "name": "x" * 101},
        {"scopes": ["jobs:read"], "name": ["x"]},
    ):
        answer = client.post(KEYS, json=body, headers=bearer(token))
        refused(answer, 400, "INVALID_INPUT")
    assert make(client, token, "jobs:read", name="").status_code == 201


def test_an_account_has_so_many_keys_at_most(client: FlaskClient, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "KEYS_MOST", 3)
    made = [make(client, token, "jobs:read").json for _ in range(3)]
    refused(make(client, token, "jobs:read"), 409, "TOO_MANY_KEYS")
    assert client.delete(f"{KEYS}/{made[0]['id']}", headers=bearer(token)).status_code == 204
    assert make(client, token, "jobs:read").status_code == 201
