"""The local file store: whole files or none, and addresses that allow exactly what was signed."""

import hashlib
import io
import os
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.storage.local import LocalStore
from app.adapters.storage.port import check_key
from app.adapters.storage.signing import Claims, UrlSigner
from app.errors import Forbidden, InvalidInput, NotFound, TooLarge

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "a secret of the test that is long enough"


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path, SECRET, "http://127.0.0.1:8000/")


def query_of(url):
    return dict(parse_qsl(urlsplit(url).query))


def leftovers(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_stored_file_comes_back_whole(store, tmp_path):
    data = b"pixels" * 500_000
    stored = store.put("results/job-1/frame_0001.png", io.BytesIO(data), len(data))
    assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert store.stat(stored.key) == stored
    with store.open(stored.key) as file:
        assert file.read() == data
    store.fetch_to(stored.key, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_the_hash_is_known_where_the_file_system_keeps_no_attributes(store):
    store.path("plain").write_bytes(b"abc")
    assert store.stat("plain").sha256 == hashlib.sha256(b"abc").hexdigest()


def test_a_stream_past_the_limit_is_cut_off_and_leaves_nothing(store, tmp_path):
    class Endless:
        taken = 0

        def read(self, size=-1):
            self.taken += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(TooLarge):
        store.put("a", endless, 5_000_000)
    assert endless.taken < 8_000_000
    assert leftovers(tmp_path) == []


def test_a_stream_that_breaks_leaves_the_old_file(store, tmp_path):
    class Breaking:
        pieces = [b"new"]

        def read(self, size=-1):
            if self.pieces:
                return self.pieces.pop()
            raise ConnectionError("client went away")

    store.put("a", io.BytesIO(b"old"), 10)
    with pytest.raises(ConnectionError):
        store.put("a", Breaking(), 10)
    assert store.path("a").read_bytes() == b"old"
    assert leftovers(tmp_path) == [store.path("a")]


def test_other_bytes_than_announced_are_refused(store, tmp_path):
    with pytest.raises(InvalidInput) as caught:
        store.put("a", io.BytesIO(b"abc"), 10, sha256="0" * 64)
    assert caught.value.code == "HASH_MISMATCH"
    assert leftovers(tmp_path) == []


def test_files_are_moved_together_and_the_missing_are_passed_over(store):
    for name in ("a", "b"):
        store.put(f"uploads/{name}", io.BytesIO(name.encode()), 10)
    store.move_all([("uploads/a", "results/1/a"), ("uploads/gone", "results/1/gone"), ("uploads/b", "results/2/b")])
    assert [store.open(key).read() for key in ("results/1/a", "results/2/b")] == [b"a", b"b"]
    for key in ("uploads/a", "uploads/b", "results/1/gone"):
        with pytest.raises(NotFound):
            store.stat(key)
    store.move_all([])


def test_moved_and_deleted_files_are_gone(store):
    store.put("uploads/a", io.BytesIO(b"abc"), 10)
    store.move_all([("uploads/a", "results/a")])
    assert store.stat("results/a").size_bytes == 3
    store.delete("results/a")
    store.delete("results/a")
    for ask in (lambda: store.stat("results/a"), lambda: store.open("uploads/a")):
        with pytest.raises(NotFound):
            ask()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        "./a",
        ".hidden",
        "a/.b",
        "A",
        "a b",
        "a\\b",
        "a\0",
        "a\n",
        "ä",
        "a" * 513,
    ],
)
def test_keys_with_tricks_are_refused(key):
    with pytest.raises(InvalidInput):
        check_key(key)


@given(st.text(alphabet="az09/_.-A\\", max_size=20))
def test_no_valid_key_leaves_the_folder(tmp_path_factory, key):
    root = tmp_path_factory.getbasetemp() / "keys"
    store = LocalStore(root, SECRET, "http://hub")
    try:
        path = store.path(key)
    except InvalidInput:
        return
    assert path.resolve().is_relative_to((root / "objects").resolve())


def test_a_signed_upload_stores_within_its_claims(store):
    digest = hashlib.sha256(b"abc").hexdigest()
    url = store.signed_url("PUT", "results/a", 60, now=NOW, max_bytes=3, sha256=digest)
    assert url.startswith("http://127.0.0.1:8000/files/results/a?")
    claims = store.verify("PUT", "results/a", query_of(url), NOW)
    assert store.receive(io.BytesIO(b"abc"), claims).sha256 == digest
    with pytest.raises(TooLarge):
        store.receive(io.BytesIO(b"abcd"), claims)
    with pytest.raises(InvalidInput):
        store.receive(io.BytesIO(b"abd"), claims)


def test_a_signed_download_names_the_file(store):
    store.put("results/a", io.BytesIO(b"abc"), 3)
    url = store.signed_url(
        "GET", "results/a", 60, now=NOW, content_type="image/png", file_name="Bild ü & 1.png"
    )
    served = store.serve(store.verify("HEAD", "results/a", query_of(url), NOW))
    assert (served.size_bytes, served.content_type, served.file_name) == (3, "image/png", "Bild ü & 1.png")


def refusal(store, method, key, query, now=NOW):
    with pytest.raises(Forbidden) as caught:
        store.verify(method, key, query, now)
    return caught.value.code


def test_an_address_is_refused_for_another_method_key_or_time(store):
    query = query_of(store.signed_url("GET", "a", 60, now=NOW))
    assert refusal(store, "PUT", "a", query) == "URL_METHOD_MISMATCH"
    assert refusal(store, "PUT", "a", {**query, "method": "PUT"}) == "URL_SIGNATURE_INVALID"
    assert refusal(store, "GET", "b", query) == "URL_SIGNATURE_INVALID"
    assert refusal(store, "GET", "a", query, NOW + timedelta(seconds=60)) == "URL_EXPIRED"
    assert refusal(store, "GET", "a", {}) == "URL_SIGNATURE_INVALID"
    upload = query_of(store.signed_url("PUT", "a", 60, now=NOW))
    assert refusal(store, "GET", "a", upload) == "URL_METHOD_MISMATCH"


def test_an_address_of_another_secret_is_refused(store):
    query = query_of(
        UrlSigner("another secret", "http://hub").sign(Claims("GET", "a", int(NOW.timestamp()) + 60))
    )
    assert refusal(store, "GET", "a", query) == "URL_SIGNATURE_INVALID"


@given(data=st.data())
def test_any_altered_argument_is_refused(tmp_path_factory, data):
    store = LocalStore(tmp_path_factory.getbasetemp() / "signed", SECRET, "http://hub")
    query = query_of(
        store.signed_url(
            "PUT",
            "a",
            60,
            now=NOW,
            max_bytes=100,
            sha256="ab" * 32,
            content_type="image/png",
            file_name="a.png",
        )
    )
    name = data.draw(st.sampled_from(sorted(query)))
    other = data.draw(st.text(max_size=70).filter(lambda text: text != query[name]))
    assert refusal(store, "PUT", "a", {**query, name: other}) == "URL_SIGNATURE_INVALID"
    without = {key: value for key, value in query.items() if key != name}
    assert refusal(store, "PUT", "a", without) == "URL_SIGNATURE_INVALID"
    assert store.verify("PUT", "a", dict(parse_qsl(urlencode(query))), NOW).max_bytes == 100


def test_old_uploads_are_deleted_and_new_ones_stay(tmp_path):
    store = LocalStore(tmp_path, "secret", "http://hub")
    for key in ("results/a/old", "results/a/new", "accepted/results/a/old"):
        store.put(key, io.BytesIO(b"x"), 1)
        if key.endswith("old"):
            os.utime(store.path(key), (0, 0))
    assert store.delete_older("results", 3600) == 1
    assert store.delete_older("nothing", 3600) == 0
    assert not store.path("results/a/old").exists()
    assert store.path("results/a/new").exists() and store.path("accepted/results/a/old").exists()
