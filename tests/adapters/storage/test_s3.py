"""The S3 store against moto, an imitation that checks no signature: shown are calls and shapes, not safety."""

import hashlib
import io
import urllib.parse
from datetime import UTC, datetime

import pytest

from app.adapters.storage.s3 import S3Store
from app.errors import InvalidInput, NotFound, TooLarge

boto3 = pytest.importorskip("boto3", reason="the extra [s3] is not installed")
moto = pytest.importorskip("moto", reason="moto is not installed")

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="files")
        yield S3Store("files", prefix="lightyard")


def test_a_stored_file_comes_back_whole(store, tmp_path):
    data = b"pixels" * 100_000
    stored = store.put("results/a.png", io.BytesIO(data), len(data))
    assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert store.stat("results/a.png") == stored
    assert store.open("results/a.png").read() == data
    store.fetch_to("results/a.png", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_an_object_uploaded_by_others_is_hashed_by_reading_it(store):
    boto3.client("s3").put_object(Bucket="files", Key="lightyard/a", Body=b"abc")
    assert store.stat("a").sha256 == hashlib.sha256(b"abc").hexdigest()


def test_limits_and_hashes_hold(store):
    with pytest.raises(TooLarge):
        store.put("a", io.BytesIO(b"abcd"), 3)
    with pytest.raises(InvalidInput):
        store.put("a", io.BytesIO(b"abc"), 3, sha256="0" * 64)
    with pytest.raises(NotFound):
        store.stat("a")


def test_objects_are_moved_together_and_the_missing_are_passed_over(store):
    for name in ("a", "b"):
        store.put(f"uploads/{name}", io.BytesIO(name.encode()), 10)
    store.move_all([("uploads/a", "results/a"), ("uploads/gone", "results/gone"), ("uploads/b", "results/b")])
    assert [store.open(key).read() for key in ("results/a", "results/b")] == [b"a", b"b"]
    for key in ("uploads/a", "uploads/b", "results/gone"):
        with pytest.raises(NotFound):
            store.stat(key)


def test_moved_and_deleted_objects_are_gone(store):
    store.put("a", io.BytesIO(b"abc"), 3)
    store.move("a", "b")
    assert store.stat("b").size_bytes == 3
    store.delete("b")
    store.delete("b")
    for ask in (lambda: store.open("a"), lambda: store.stat("b"), lambda: store.move("a", "b")):
        with pytest.raises(NotFound):
            ask()


def test_signed_addresses_name_method_key_and_end(store):
    for method in ("GET", "PUT"):
        url = urllib.parse.urlsplit(store.signed_url(method, "results/a", 60, now=NOW, file_name="ä.png"))
        query = urllib.parse.parse_qs(url.query)
        assert url.path.endswith("/lightyard/results/a")
        assert query["X-Amz-Expires"] == ["60"]
        assert query["X-Amz-SignedHeaders"]
