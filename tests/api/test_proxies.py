"""Whose address counts: X-Forwarded-For and its kin from strangers, through proxies, and broken."""

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from flask import request
from flask.testing import FlaskClient

from app.api.proxies import TrustedProxies, read_hop
from app.factory import create_app
from app.values.networks import read_networks

OURS = "10.0.0.0/8, 2001:db8:1::/48"


def seen(sender: str, forwarded: str | None = None, **more: str) -> tuple[str, str]:
    """The client's address and scheme, as the app behind sees them."""
    found: dict[str, Any] = {}
    app = TrustedProxies(lambda environ, _: found.update(environ) or [], read_networks(OURS))  # type: ignore[arg-type, func-returns-value]
    environ = {"REMOTE_ADDR": sender, "wsgi.url_scheme": "http", **more}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    app(environ, None)  # type: ignore[arg-type]
    return found["REMOTE_ADDR"], found["wsgi.url_scheme"]


@pytest.mark.parametrize(
    "sender, forwarded, client",
    [
        ("198.51.100.9", "1.1.1.1", "198.51.100.9"),  # a stranger says whom it speaks for
        ("198.51.100.9", "10.0.0.1", "198.51.100.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.9", "198.51.100.9"),  # what the client sent itself stands further left
        ("10.0.0.1", "1.1.1.1,198.51.100.9,10.0.0.7 , 10.1.1.1", "198.51.100.9"),
        ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),  # one of our own
        ("10.0.0.1", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", "2001:DB8:2:0::9", "2001:db8:2::9"),
        ("10.0.0.1", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
        ("10.0.0.1", "[2001:db8:2::9], [2001:db8:1::5]", "2001:db8:2::9"),
        ("10.0.0.1", "::ffff:198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("2001:db8:1::1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.9:port", "10.0.0.1"),
        ("10.0.0.1", "[198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "0x7f.1", "10.0.0.1"),
        ("10.0.0.1", "198.051.100.009", "10.0.0.1"),
        ("10.0.0.1", "'; DROP TABLE jobs; --", "10.0.0.1"),
        ("10.0.0.1", ", ".join(["6.6.6.6"] * 2000 + ["198.51.100.9"] + ["10.0.0.3"] * 500), "198.51.100.9"),
        ("", "198.51.100.9", ""),  # a unix socket has no address to be trusted by
    ],
)
def test_the_client_is_the_nearest_hop_that_is_not_ours(sender: str, forwarded: str | None, client: str) -> None:
    assert seen(sender, forwarded)[0] == client


def test_https_is_believed_from_a_proxy_alone() -> None:
    for sender, said, scheme in (
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, HTTPS", "https"),
        ("10.0.0.1", "https, http", "http"),
        ("10.0.0.1", "javascript", "http"),
        ("198.51.100.9", "https", "http"),
    ):
        assert seen(sender, None, HTTP_X_FORWARDED_PROTO=said)[1] == scheme, said


def test_every_address_has_one_spelling() -> None:
    for text in ("192.0.2.1", "192.0.2.1:80", "[::ffff:192.0.2.1]:80", "::ffff:c000:201"):
        assert read_hop(text) == ipaddress.ip_address("192.0.2.1")
    for text in ("", ":", "[]", "[]:80", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:800000", "[::1]x", "a.example", "1"):
        assert read_hop(text) is None, text


@pytest.fixture
def limited(settings) -> FlaskClient:
    return create_app(replace(settings, rate_limits=True, trusted_proxies="127.0.0.1")).test_client()


def test_no_header_makes_a_new_address(limited: FlaskClient) -> None:
    """Eleven requests of one client, each dressed up otherwise: the eleventh is one too many."""
    names = ("Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded", "X-Cluster-Client-IP")
    for number in range(11):
        disguise = {name: f"for=6.6.6.{number}" if name == "Forwarded" else f"6.6.6.{number}" for name in names}
        head = {**disguise, "X-Forwarded-For": f"6.6.6.{number}, 2001:db8:2::{number:x}:{number:x}"}  # from all over its own /64
        answer = limited.post("/render", headers=head)
    assert answer.status_code == 429
    assert limited.post("/render", headers={"X-Forwarded-For": "2001:db8:2:1::1"}).status_code == 400


def test_what_the_hub_says_of_itself_is_not_what_the_caller_says(settings, client: FlaskClient) -> None:
    names = ("Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-Original-URL", "X-Rewrite-URL")
    hub = create_app(replace(settings, trusted_proxies="127.0.0.1", public_url="https://hub.example")).test_client()
    for path in ("/docs", "/docs/", "/docs/rayment", "/redoc", "/openapi/rayment.json", "/health/", "/health", "//evil"):
        answer = hub.get(path, headers={name: "evil.example" for name in names})
        assert answer.status_code != 500 and "evil.example" not in answer.text + str(answer.headers), path
    with hub.application.test_request_context("/", headers={"X-Forwarded-Host": "evil.example"}):
        assert request.host == "localhost"
    sent = {"chain": "solana", "address": "11111111111111111111111111111112"}
    told = hub.post("/rnp/v1/wallet/challenge", json=sent, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert told.status_code == 200 and told.json["domain"] == settings.public_host and "evil" not in told.text
