"""The cookie of a wallet's sign-in: only who asks for it reads it, and only from this hub's own pages."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.api import cookies, tokens
from app.errors import Forbidden, Unauthenticated
from app.factory import create_app
from app.wiring import Hub
from tests.api.rnp019.conftest import Door, bearer, refused

OWN = "http://localhost"


def cookie_of(answer: Any) -> tuple[str, dict[str, str]]:
    """The cookie's value, and its attributes by their lower-case names."""
    (header,) = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(f"{cookies.NAME}=")]
    first, *rest = header.split("; ")
    pairs = [part.partition("=") for part in rest]
    return first.partition("=")[2], {name.lower(): value for name, _, value in pairs}


def read(client: FlaskClient, hub: Hub, token: str | None, origin: str | None) -> Any:
    """What a websocket's view finds out of a handshake with this cookie from that page."""
    headers = {} if token is None else {"Cookie": f"{cookies.NAME}={token}"}
    if origin is not None:
        headers["Origin"] = origin
    with client.application.test_request_context("/ws/metrics", headers=headers), hub.database.read_only() as session:
        return cookies.cookie_caller(session)


@pytest.fixture
def entered(door: Door) -> Any:
    answer = door.login(door.solana_body(Keypair()))
    assert answer.status_code == 200
    return answer


def test_a_login_sets_a_cookie_that_scripts_cannot_read(entered: Any) -> None:
    token, attributes = cookie_of(entered)
    assert attributes == {"path": "/ws/metrics", "max-age": "604800", "samesite": "Strict", "httponly": "", **expiry(attributes)}
    assert token not in entered.text


def expiry(attributes: dict[str, str]) -> dict[str, str]:
    return {"expires": attributes["expires"]}


def test_in_production_it_travels_encrypted_only(settings: Any, hub: Hub) -> None:
    safe = replace(hub, settings=replace(settings, lightyard_env="production"))
    door = Door(create_app(safe.settings, safe).test_client())
    assert "secure" in cookie_of(door.login(door.solana_body(Keypair())))[1]


def test_it_says_who_comes_from_the_hubs_own_page(client: FlaskClient, hub: Hub, entered: Any) -> None:
    token, _ = cookie_of(entered)
    for origin in (OWN, "https://localhost"):
        found = read(client, hub, token, origin)
        assert str(found.account_id) == entered.json["account"]["id"] and found.sign_in_id is not None
    assert read(client, hub, None, OWN) is None
    for origin in (None, "null", "", "http://evil.example", "http://localhost.evil.example", "http://localhost:81", "http://[::1"):
        with pytest.raises(Forbidden):
            read(client, hub, token, origin)


def test_pages_of_named_origins_may_use_it(settings: Any, hub: Hub, entered: Any) -> None:
    token, _ = cookie_of(entered)
    for named, is_let_in in (("https://app.example, http://other", True), ("*", False), ("", False)):
        parts = replace(hub, settings=replace(settings, cors_origins=named))
        client = create_app(parts.settings, parts).test_client()
        if is_let_in:
            assert read(client, hub, token, "https://app.example") is not None
        else:
            with pytest.raises(Forbidden):
                read(client, hub, token, "https://app.example")


def test_it_is_worth_nothing_anywhere_else(client: FlaskClient, hub: Hub, entered: Any) -> None:
    token, _ = cookie_of(entered)
    refused(client.get("/rnp/v1/keys", headers={"Cookie": f"{cookies.NAME}={token}", "Origin": OWN}), 401, "UNAUTHENTICATED")
    refused(client.get("/rnp/v1/keys", headers=bearer(token)), 401, "TOKEN_INVALID")
    answer = client.post("/api/v1/auth/refresh", json={"refresh_token": token})
    assert answer.status_code == 401
    for other in (entered.json["access_token"], entered.json["refresh_token"], "x", "a.b.c", token[:-2]):
        with pytest.raises(Unauthenticated):
            read(client, hub, other, OWN)


def test_logging_out_ends_it_and_has_the_browser_forget_it(client: FlaskClient, hub: Hub, entered: Any) -> None:
    token, given = cookie_of(entered)
    answer = client.post("/api/v1/auth/logout", headers=bearer(entered.json["access_token"]))
    value, attributes = cookie_of(answer)
    assert (value, attributes["max-age"], attributes["path"]) == ("", "0", given["path"])
    with pytest.raises(Unauthenticated):
        read(client, hub, token, OWN)


def test_a_page_elsewhere_cannot_sign_its_visitor_in(door: Door) -> None:
    """It may log in with a wallet of its own, and reads nothing by it; the visitor's browser gets no cookie of that."""
    for origin, is_given in (("https://evil.example", False), ("null", False), (OWN, True)):
        answer = door.login(door.solana_body(Keypair()), headers={"Origin": origin})
        assert answer.status_code == 200
        assert bool(answer.headers.getlist("Set-Cookie")) == is_given


def test_only_a_wallet_login_gives_one(client: FlaskClient) -> None:
    body = {"email": "a@example.com", "name": "A", "password": "correct horse battery"}
    answer = client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 201 and not answer.headers.getlist("Set-Cookie")
    assert tokens.SOCKET not in ("access", "refresh", "node")
