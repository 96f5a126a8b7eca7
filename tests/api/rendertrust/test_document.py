"""RenderTrust's OpenAPI file and its pages are true of what the hub answers."""

import base64
from typing import Any

from flask.testing import FlaskClient
from nacl.signing import SigningKey

from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rendertrust.conftest import PASSWORD, User
from tests.api.test_openapi import Checked, operations


def test_the_answers_are_what_the_file_says(client: FlaskClient, hub: Hub, user: User) -> None:
    api, signed = Checked(client, "rendertrust"), {"headers": user.headers}
    for path in ("/version", "/api/v1/health", "/api/v1/health/ready"):
        api.call("GET", path, path)
    auth = "/api/v1/auth"
    new = {"email": "new@example.com", "name": "New", "password": PASSWORD}
    for body in (new, new, {}):
        api.call("POST", f"{auth}/register", f"{auth}/register", json=body)
    for body in ({"email": user.email, "password": PASSWORD}, {"email": user.email, "password": "wrong"}, {}):
        api.call("POST", f"{auth}/login", f"{auth}/login", json=body)
    for token in (user.tokens["refresh_token"], "x", None):
        api.call("POST", f"{auth}/refresh", f"{auth}/refresh", json={"refresh_token": token})
    credits = "/api/v1/credits"
    user.fund(hub, "10.0000")
    for options in (signed, {}):
        api.call("GET", f"{credits}/balance", f"{credits}/balance", **options)
    for amount in ("1.0000", "2.0000", "1000.0000", "x"):
        body = {"amount": amount, "reference_id": "a" if amount < "3" and amount != "1000.0000" else "b"}
        api.call("POST", f"{credits}/deduct", f"{credits}/deduct", json=body, **signed)
    for query in ("", "?limit=1&offset=1", "?limit=0"):
        api.call("GET", f"{credits}/history{query}", f"{credits}/history", **signed)
    upload = {"filename": "a.blend", "size_bytes": 5, "content_type": "application/x-blender"}
    for body in (upload, {}, {**upload, "size_bytes": 2**50}):
        api.call("POST", "/api/v1/uploads", "/api/v1/uploads", json=body, **signed)
    walk_jobs(api, signed)
    for options in (signed, {}):
        api.call("POST", f"{auth}/logout", f"{auth}/logout", **options)


def walk_jobs(api: Checked, signed: dict[str, Any]) -> None:
    jobs, nodes = "/api/v1/jobs", "/api/v1/nodes"
    key = base64.b64encode(bytes(SigningKey.generate().verify_key)).decode()
    node = {"name": "n", "public_key": key, "capabilities": ["echo"], "metadata": {"gpu": "RTX 4090"}}
    for body in (node, {}):
        made = api.call("POST", f"{nodes}/register", f"{nodes}/register", json=body)
        token = (made.json or {}).get("token", "x")
        api.call("POST", f"{nodes}/heartbeat", f"{nodes}/heartbeat", json={}, headers={"Authorization": f"Bearer {token}"})
    for body in ({"job_type": "echo", "payload_ref": "s3://b/k"}, {"job_type": "echo"}):
        api.call("POST", f"{jobs}/dispatch", f"{jobs}/dispatch", json=body, **signed)
    for query in ("", "?status=QUEUED", "?limit=0"):
        api.call("GET", f"{jobs}{query}", jobs, **signed)
    for found in (UNKNOWN, "x"):
        api.call("GET", f"{jobs}/{found}", f"{jobs}/{{job_id}}", **signed)
        api.call("GET", f"{jobs}/{found}/result", f"{jobs}/{{job_id}}/result", **signed)
        api.call("POST", f"{jobs}/{found}/cancel", f"{jobs}/{{job_id}}/cancel", **signed)
    api.call("GET", f"{jobs}/dead-letters", f"{jobs}/dead-letters", **signed)


def test_redoc_is_a_page_to_read_without_anything_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/redoc")
    assert page.status_code == 200 and page.mimetype == "text/html"
    paths = client.get("/openapi/rendertrust.json").json["paths"]
    assert "/api/v1/credits/deduct" in paths
    assert all(path in page.text for path in paths)
    assert "http://" not in page.text and "https://" not in page.text and "<script>" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_who_must_sign_in_is_in_the_file(client: FlaskClient) -> None:
    spec = client.get("/openapi/rendertrust.json").json
    assert set(spec["components"]["securitySchemes"]) == {"bearer", "apiKey", "nodeToken"}
    open_paths = {path for _, path, operation in operations(spec) if "security" not in operation}
    assert open_paths == {"/version", "/api/v1/health", "/api/v1/health/ready", "/api/v1/webhooks/stripe",
                          "/api/v1/nodes/register",
                          *(f"/api/v1/auth/{verb}" for verb in ("register", "login", "refresh"))}
