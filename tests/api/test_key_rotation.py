"""SECRET_KEY is changed while tokens and addresses of files are about: what the docs/security.md runbook says, step by step."""

import io
import uuid
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import jwt
import pytest
from flask.testing import FlaskClient

from app.api.keyring import key_id
from app.config import DEVELOPMENT_SECRET, Settings
from app.factory import create_app
from app.values import clock
from tests.api.conftest import FakeNode, Market
from tests.api.rendertrust.conftest import User

OLD, NEW = DEVELOPMENT_SECRET, "the-key-that-comes-after-it-0123456789"
Start = Callable[[str, str], FlaskClient]


@pytest.fixture
def start(settings: Settings) -> Start:
    """A process with these keys. It shares nothing with others but their servers."""
    return lambda key, previous: create_app(replace(settings, secret_key=key, secret_key_previous=previous)).test_client()


def counts(client: FlaskClient, token: str, path: str = "/api/v1/credits/balance", method: str = "GET") -> bool:
    answer = client.open(path, method=method, headers={"Authorization": f"Bearer {token}"}, json={} if method == "POST" else None)
    if answer.status_code == 401:
        assert set(answer.json) & {"detail", "error"}, "in the dialect's envelope"
    return bool(answer.status_code != 401)


def test_no_step_of_the_change_ends_a_sign_in(start: Start) -> None:
    """Each step is rolled out process by process, so each works beside the one before it."""
    steps = [start(OLD, ""), start(OLD, NEW), start(NEW, f"{OLD}, {'x' * 40}"), start(NEW, "")]
    signed_by = [OLD, OLD, NEW, NEW]
    users = [User(client) for client in steps]
    for number, (key, user) in enumerate(zip(signed_by, users, strict=True)):
        token = user.tokens["access_token"]
        assert jwt.get_unverified_header(token)["kid"] == key_id(key) and key not in token
        for neighbour in steps[max(number - 1, 0) : number + 2]:
            assert counts(neighbour, token), "beside the step before and the one after"
    assert not counts(steps[0], users[2].tokens["access_token"]), "hence the step between: its key was not there yet"
    assert not counts(steps[3], users[0].tokens["access_token"]), "what is taken away is over"
    moved = steps[2].post("/api/v1/auth/refresh", json={"refresh_token": users[0].tokens["refresh_token"]}).json
    assert counts(steps[3], moved["access_token"]), "a refresh moves a sign-in to the new key"


def test_a_token_from_before_keys_had_names_counts(start: Start) -> None:
    client = start(NEW, f"{'y' * 40},{OLD}")
    user = User(client)
    claims = jwt.decode(user.tokens["access_token"], NEW, algorithms=["HS256"])
    assert counts(client, jwt.encode(claims, OLD, "HS256"))
    for name in (key_id(OLD), "unknown", ""):
        assert not counts(client, jwt.encode(claims, "z" * 40, "HS256", headers={"kid": name}))
    assert not counts(client, jwt.encode(claims, OLD, "HS256", headers={"kid": key_id(NEW)})), "the named key decides"


def test_nodes_and_file_addresses_outlive_the_change(start: Start, client: FlaskClient, market: Market, node: FakeNode) -> None:
    key = f"uploads/{uuid.uuid4()}"
    store = client.application.extensions["lightyard"].store
    store.put(key, io.BytesIO(b"a picture"), 100)
    address = urlsplit(store.signed_url("GET", key, 60, now=clock.now()))
    path, token = f"{address.path}?{address.query}", node.headers["Authorization"].removeprefix("Bearer ")
    during, after = start(NEW, OLD), start(NEW, "")
    assert during.get(path).data == b"a picture" and counts(during, token, "/node/v1/heartbeat", "POST")
    gone = after.get(path)
    assert (gone.status_code, gone.json["error"]["code"]) == (403, "URL_SIGNATURE_INVALID")
    assert not counts(after, token, "/node/v1/heartbeat", "POST")
