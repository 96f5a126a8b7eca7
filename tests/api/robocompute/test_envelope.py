"""Whatever goes wrong below RoboCompute's paths is told in its envelope, with the limits' headers."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.factory import ROBOCOMPUTE
from tests.api.conftest import UNKNOWN
from tests.api.robocompute.conftest import Person
from tests.factories.wallet_requests import version_2

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def told(answer: Any, status: int | None = None, code: str | None = None) -> Any:
    """The code of a refusal."""
    assert 400 <= answer.status_code < 500 and status in (None, answer.status_code), (answer.request.path, answer.data)
    assert set(answer.json) == {"error"} and set(answer.json["error"]) == {"code", "message", "details"}
    assert code in (None, answer.json["error"]["code"]) and answer.json["error"]["message"], answer.json
    assert answer.headers["X-RateLimit-Limit"] == "100"
    return answer.json["error"]["code"]


def routes(person: Person) -> dict[str, set[str]]:
    """The dialect's paths, of a provider of the person's, with the methods of each; sockets are not among them."""
    found: dict[str, set[str]] = {}
    for rule in person.client.application.url_map.iter_rules():
        if rule.rule.startswith(ROBOCOMPUTE.prefixes) and not rule.websocket:
            values = {name: UNKNOWN for name in rule.arguments} | {"provider_id": str(person.provider_id)}
            path = rule.rule
            for name in rule.arguments:
                path = path.replace(f"<{name}>", values[name])
            found.setdefault(path, set()).update((rule.methods or set()) & METHODS)
    assert len(found) > 40
    return found


@pytest.mark.parametrize("prefix", ROBOCOMPUTE.prefixes)
def test_unknown_routes(client: FlaskClient, stranger: Person, prefix: str) -> None:
    for method in METHODS:
        told(client.open(f"{prefix}/no/such/place/at/all", method=method), 404, "NOT_FOUND")
        told(stranger.call(method, f"{prefix.removeprefix('/api/v1/')}/no/such/place/at/all"), 404, "NOT_FOUND")


def test_wrong_methods(provider: Person) -> None:
    every_route = provider.client.application.url_map.bind("")
    for path in routes(provider):
        methods = set(every_route.allowed_methods(path)) & METHODS
        for method in METHODS - methods:
            answer = provider.call(method, path.removeprefix("/api/v1/"))
            told(answer, 405, "METHOD_NOT_ALLOWED")
            assert methods <= set(answer.headers["Allow"].split(", "))


def test_who_has_the_key_alone_gets_nowhere(provider: Person, stranger: Person) -> None:
    """Before the body is looked at: it may be anything."""
    for path, methods in routes(provider).items():
        for method in methods:
            good = version_2(provider.keypair, provider.key, method, path, b"{}")
            foreign = version_2(stranger.keypair, provider.key, method, path, b"{")
            alone = {"Authorization": f"Bearer {provider.key}"}
            for head in (alone, foreign, good):
                told(provider.client.open(path, method=method, headers=head, data=b"{"), 401, "WALLET_SIGNATURE_INVALID")
            told(provider.client.open(path, method=method, headers={"X-API-Key": "ly_x"}, json={}), None)


BAD_BODIES: tuple[Any, ...] = (b"{", b"\xff\xfe", b"[]", b"null", b'"x"', b"7", b"NaN", b'{"a":1,"a":2}', b"[" * 100_000)


def test_bodies_that_are_none(provider: Person) -> None:
    """A route that wants a body refuses them; none crashes, and none does anything but refuse or do without."""
    for path, methods in routes(provider).items():
        for method in methods & {"POST", "PATCH"}:
            below = path.removeprefix("/api/v1/")
            for body in BAD_BODIES[:4]:
                answer = provider.call(method, below, data=body, content_type="application/json")
                assert answer.status_code < 500, (path, body, answer.data)
                if answer.status_code >= 400:
                    told(answer)
            answer = provider.call(method, below, data={"file": (io.BytesIO(b"x"), "x")})
            assert answer.status_code < 500, (path, answer.data)
    for body in BAD_BODIES:
        answer = provider.call("POST", "tasks", data=body, content_type="application/json")
        assert told(answer, 400) in ("INVALID_JSON", "INVALID_INPUT")
    large = b"[" + b" " * 2**20 + b"]"
    told(provider.call("POST", "tasks", data=large, content_type="application/json"), 413, "TOO_LARGE")
    head = {**version_2(provider.keypair, provider.key, "POST", "/api/v1/tasks", b"x"), "Content-Encoding": "gzip"}
    told(provider.client.post("/api/v1/tasks", data=b"x", headers=head), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_ids_that_are_none(provider: Person) -> None:
    odd = ("x", "%00", "..%2f..", "%FF", "x" * 3000)
    for path, methods in routes(provider).items():
        for value in odd:
            changed = path.replace(UNKNOWN, value) if UNKNOWN in path else path.replace(str(provider.provider_id), value)
            if changed == path:
                continue
            for method in methods:
                answer = provider.call(method, changed.removeprefix("/api/v1/"), **({"json": {}} if method != "GET" else {}))
                told(answer)
