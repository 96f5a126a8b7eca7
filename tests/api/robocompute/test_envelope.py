"""Whatever goes wrong below RoboCompute's paths is told in its envelope."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from app.factory import ROBOCOMPUTE
from tests.api.robocompute.conftest import Person


def told(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The details of a refusal."""
    assert answer.status_code == status, answer.data
    assert set(answer.json) == {"error"} and set(answer.json["error"]) == {"code", "message", "details"}
    assert answer.json["error"]["code"] == code and answer.json["error"]["message"]
    details: dict[str, Any] = answer.json["error"]["details"]
    return details


@pytest.mark.parametrize("prefix", ROBOCOMPUTE.prefixes)
def test_unknown_routes(client: FlaskClient, stranger: Person, prefix: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        told(client.open(f"{prefix}/no/such/place/at/all", method=method), 404, "NOT_FOUND")
        told(stranger.call(method, f"{prefix.removeprefix('/api/v1/')}/no/such/place/at/all"), 404, "NOT_FOUND")


def test_bodies_that_are_none(client: FlaskClient) -> None:
    path = "/api/v1/tasks/no/such/place"
    for sent in (b"[" * 100_000, b'{"a":1e999}', b"NaN", b'{"a":1,"a":2}', b'"\\u0000"'):
        told(client.post(path, data=sent, content_type="application/json"), 400, "INVALID_JSON")
    told(client.post(path, data=b"[" + b" " * 2**20 + b"]", content_type="application/json"), 413, "TOO_LARGE")
    told(client.post(path, data=b"x", headers={"Content-Encoding": "gzip"}), 415, "UNSUPPORTED_MEDIA_TYPE")
