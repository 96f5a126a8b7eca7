"""RenderTrust's OpenAPI file and its pages are true of what the hub answers."""

from flask.testing import FlaskClient

from app.wiring import Hub
from tests.api.rendertrust.conftest import PASSWORD, User
from tests.api.test_openapi import Checked


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
    for options in (signed, {}):
        api.call("POST", f"{auth}/logout", f"{auth}/logout", **options)


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
    open_paths = {path for path, item in spec["paths"].items() for operation in item.values() if "security" not in operation}
    assert open_paths == {"/version", "/api/v1/health", "/api/v1/health/ready",
                          *(f"/api/v1/auth/{verb}" for verb in ("register", "login", "refresh"))}
