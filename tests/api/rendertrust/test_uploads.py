"""Uploads: an address good for one file of one size, under its owner's prefix, and a reference that is nobody else's."""

import hashlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.core import uploads
from app.errors import InvalidInput, NotFound
from app.wiring import Hub
from tests.api.rendertrust.conftest import User

BODY = {"filename": "scene.blend", "size_bytes": 11, "content_type": "application/x-blender"}


def order(user: User, **more: Any) -> Any:
    return user.post("uploads", json={**BODY, **more})


def test_an_upload_arrives_where_its_reference_says(client: FlaskClient, user: User, hub: Hub) -> None:
    data = b"hello world"
    answer = order(user, sha256=hashlib.sha256(data).hexdigest().upper())
    assert answer.status_code == 201
    assert set(answer.json) == {"upload_id", "upload_url", "payload_ref", "expires_in"}
    assert answer.json["payload_ref"] == f"upload:{answer.json['upload_id']}" and answer.json["expires_in"] == 3600
    assert client.put(answer.json["upload_url"], data=b"hello w0rld").status_code == 400
    assert client.put(answer.json["upload_url"], data=data).status_code == 201
    with hub.database.read_only() as session:
        payload = uploads.resolve(session, user.id, answer.json["payload_ref"])
    assert payload.storage_key == f"uploads/{user.id}/{answer.json['upload_id']}" and payload.upload is not None
    assert (payload.upload.file_name, payload.upload.size_bytes) == ("scene.blend", 11)
    assert hub.store.stat(payload.storage_key).size_bytes == 11


def test_more_bytes_than_announced_are_refused(client: FlaskClient, user: User) -> None:
    url = order(user).json["upload_url"]
    assert client.put(url, data=b"x" * 12).status_code == 413
    assert client.get(url).status_code == 403
    assert client.put(url.replace("max=11", "max=12"), data=b"x" * 12).status_code == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [("filename", ""), ("filename", "x" * 256), ("filename", None), ("size_bytes", 0), ("size_bytes", -1), ("size_bytes", "11"),
     ("size_bytes", 1.5), ("size_bytes", 2**60), ("content_type", ""), ("content_type", "text"), ("content_type", "a/b\r\nX: y"),
     ("content_type", "text/plain; x=" + "y" * 300), ("sha256", "x"), ("sha256", "0" * 63), ("sha256", 5)],
)
def test_bad_fields_are_422(user: User, field: str, value: Any) -> None:
    answer = order(user, **{field: value})
    assert answer.status_code == 422 and set(answer.json) == {"detail"} and field in answer.json["detail"]


def test_a_file_larger_than_the_hub_takes_is_413(user: User) -> None:
    answer = order(user, size_bytes=2**50)
    assert answer.status_code == 413 and set(answer.json) == {"detail"}


def test_open_uploads_of_one_account_are_bounded(user: User, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "OPEN_LIMIT", 2)
    assert [order(user).status_code for _ in range(3)] == [201, 201, 429]
    assert order(User(client)).status_code == 201


def test_another_accounts_upload_is_unknown(client: FlaskClient, user: User, hub: Hub) -> None:
    mine = order(user).json["payload_ref"]
    other = User(client)
    with hub.database.read_only() as session:
        assert uploads.resolve(session, user.id, mine).storage_key
        for account_id, reference in (
            (other.id, mine),
            (user.id, "upload:00000000-0000-0000-0000-000000000001"),
            (user.id, f"s3://ours/uploads/{other.id}/x"),
            (user.id, f"s3://ours/uploads/{user.id}/../{other.id}/x"),
            (user.id, "s3://ours/renders/x"),
        ):
            with pytest.raises(NotFound):
                uploads.resolve(session, account_id, reference, "ours")


def test_what_a_reference_may_be(user: User, hub: Hub) -> None:
    with hub.database.read_only() as session:
        own = f"s3://ours/uploads/{user.id}/scene.blend"
        assert uploads.resolve(session, user.id, own, "ours").storage_key == f"uploads/{user.id}/scene.blend"
        for foreign in ("s3://bucket/input/scene.blend", own):  # without a bucket of our own, all are foreign
            assert uploads.resolve(session, user.id, foreign) == uploads.Payload(foreign)
        for bad in ("", "upload:", "upload:x", "s3://", "s3://bucket", "s3://bucket/", "s3:///key", "http://h/x", "file:///etc/passwd",
                    "scene.blend", "s3://b/" + "x" * 500, "s3://b/a\nb", "upload:" + "x" * 600):
            with pytest.raises(InvalidInput):
                uploads.resolve(session, user.id, bad)
