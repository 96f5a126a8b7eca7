"""The published OpenAPI files: valid, complete, and true of what the hub really answers."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.web.docs import METHODS
from devnet.payer import Payer
from tests.api.conftest import TRIANGLE, UNKNOWN, FakeNode, Market
from tests.api.test_paid_render import paid
from tests.api.test_routes import ACCESS

NAMES = ("rayment", "node", "rendertrust", "rnp019", "cocoon", "robocompute")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_valid_openapi_3_1(client: FlaskClient, name: str) -> None:
    spec = client.get(f"/openapi/{name}.json").json
    assert spec["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(spec).iter_errors()) == []


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def test_every_route_is_in_a_file_and_documented(client: FlaskClient) -> None:
    written = set()
    for name in NAMES:
        for method, path, operation in operations(client.get(f"/openapi/{name}.json").json):
            written.add((method.upper(), path.replace("{", "").replace("}", "")))
            assert operation["summary"]
            if name in ("rendertrust", "cocoon"):
                (success,) = (code for code in operation["responses"] if code.startswith("2"))
                assert "content" in operation["responses"][success], path
            else:
                assert "422" not in operation["responses"], path  # invalid fields are 400 in the others
            if name == "rayment":
                wanted = [code for code in operation["responses"] if code in ("200", "402")]
                assert wanted and "content" in operation["responses"][wanted[0]], path
                assert method not in ("post", "put") or "requestBody" in operation, path
    pages = ("/docs", "/openapi", "/metrics", "/ws", "/redoc", "/api/v1/relay")
    sockets = {route for route, access in ACCESS.items() if access.endswith(" socket")}
    served = {(method, rule) for method, rule in ACCESS if not rule.startswith(pages)} - sockets
    plain = {(method, rule.replace("<path:", "").replace("<", "").replace(">", "")) for method, rule in served}
    assert written == plain


class Checked:
    """Calls the hub and holds each answer against what the file says of it."""

    def __init__(self, client: FlaskClient, name: str = "rayment") -> None:
        self.client, self.spec = client, client.get(f"/openapi/{name}.json").json

    def call(self, method: str, path: str, template: str, **options: Any) -> Any:
        answer = self.client.open(path, method=method, **options)
        described = self.spec["paths"][template][method.lower()]["responses"]
        found = described.get(str(answer.status_code))
        assert found is not None, f"{method} {template} answers {answer.status_code}, which its document does not know"
        if "$ref" in found:
            found = self.spec["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
        schema = found["content"]["application/json"]["schema"]
        validator = Draft202012Validator({**schema, "components": self.spec["components"]})
        assert [error.message for error in validator.iter_errors(answer.json)] == []
        return answer


def test_the_answers_are_what_the_file_says(market: Market, payer: Payer) -> None:
    hub, wallet = Checked(market.client), market.wallet
    for path in ("/health", "/stats", "/providers"):
        hub.call("GET", path, path)
    hub.call("GET", f"/providers/{market.provider_id}", "/providers/{provider_id}")
    hub.call("GET", f"/providers/{UNKNOWN}", "/providers/{provider_id}")
    hub.call("GET", "/providers?status=odd", "/providers")
    form = {"file": (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address}
    job_id = hub.call("POST", "/render", "/render", data=form).json["payment"]["jobId"]
    hub.call("POST", "/render", "/render", data={})
    hub.call("GET", f"/render/{job_id}", "/render/{job_id}")
    short = payer.pay(wallet.address, 1_000_000, "rayment:nothing")
    payer.wait_final(short)
    hub.call("POST", "/render/pay", "/render/pay", json={"jobId": job_id, "txSignature": short})
    hub.call("GET", f"/render/{job_id}", "/render/{job_id}")
    node, payment = FakeNode(market).join(), paid(market, payer)
    for attempt in node.claim(8):
        if attempt["kind"] == "frame":
            node.finish(attempt)
    assert hub.call("GET", f"/render/{payment['jobId']}", "/render/{job_id}").json["data"]["status"] == "completed"
    lost = paid(market, payer)
    body = {"providerId": market.provider_id, "error": "x", "signature": wallet.sign(f"failed:{lost['jobId']}")}
    hub.call("POST", f"/provider/job/{lost['jobId']}/failed", "/provider/job/{job_id}/failed", json=body)
    job = hub.call("GET", f"/render/{lost['jobId']}", "/render/{job_id}").json["data"]
    assert (job["status"], job["refund"]["status"]) == ("failed", "owed")
    signature = wallet.sign(f"status:{market.provider_id}:busy")
    body = {"providerId": market.provider_id, "status": "busy", "signature": signature}
    hub.call("PUT", "/provider/status", "/provider/status", json=body)
    hub.call("PUT", "/provider/status", "/provider/status", json={**body, "signature": "x"})


def test_the_pages_need_nothing_from_elsewhere(client: FlaskClient) -> None:
    index = client.get("/docs")
    assert index.status_code == 200
    for name in NAMES:
        assert f"/docs/{name}" in index.text
        page = client.get(f"/docs/{name}")
        assert page.status_code == 200
        for _, path, operation in operations(client.get(f"/openapi/{name}.json").json):
            assert path in page.text and operation["summary"].split("'")[0] in page.text
        assert "http://" not in page.text.replace("http://127.0.0.1", "") and "https://" not in page.text
        assert "<script>" not in page.text and " style=" not in page.text and "onclick" not in page.text
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for asset in ("docs.css", "docs.js"):
        assert client.get(f"/docs/static/{asset}").status_code == 200
    assert client.get("/docs/nothing").status_code == 404
