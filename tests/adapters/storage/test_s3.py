"""What only S3 has: a server that is away, connections that break in the middle, and the form of its addresses."""

import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from urllib3.exceptions import ProtocolError

from app.adapters.storage.s3 import S3Store
from app.adapters.storage.s3_client import S3Access
from app.adapters.storage.s3_object import MAX_BREAKS, buffered
from app.config import Settings
from app.errors import ConfigError, Unavailable
from app.stack.ports import free_port
from app.values import clock
from app.wiring import make_store

DATA = bytes(range(256)) * 40
KEYS = {"access_key_id": "key", "secret_access_key": "secret"}


class Body:
    """A connection that carries `until` bytes and breaks."""

    def __init__(self, data: bytes, until: int) -> None:
        self.data, self.left, self.is_closed = io.BytesIO(data), until, False

    def read(self, size: int) -> bytes:
        if self.left == 0:
            raise ProtocolError("the connection broke")
        taken = min(size, self.left)
        self.left -= taken
        return self.data.read(taken)

    def close(self) -> None:
        self.is_closed = True


class Server:
    """S3's side of a download; every connection breaks after so many bytes."""

    def __init__(self, *until: int) -> None:
        self.until, self.asked, self.bodies = list(until), [], list[Body]()

    def fetch(self, start: int, etag: str | None) -> dict[str, Any]:
        self.asked.append((start, etag))
        self.bodies.append(Body(DATA[start:], self.until.pop(0) if self.until else len(DATA) + 1))
        return {"ContentLength": len(DATA) - start, "ETag": '"v1"', "Body": self.bodies[-1]}


def test_a_broken_download_goes_on_where_it_broke_and_with_the_same_version() -> None:
    server = Server(1000, 0, 5000)
    with buffered(server.fetch) as file:
        assert file.read() == DATA
    assert server.asked[0] == (0, None) and {etag for _, etag in server.asked[1:]} == {'"v1"'}
    assert len(server.asked) == 4 and all(body.is_closed for body in server.bodies)


def test_a_download_that_only_breaks_is_given_up() -> None:
    server = Server(1000, *[0] * 10)
    with buffered(server.fetch) as file, pytest.raises(Unavailable):
        file.read()
    assert len(server.asked) <= MAX_BREAKS + 1


def test_a_server_that_is_away_and_a_bucket_that_is_missing_are_unavailable(moto_url: str) -> None:
    for access in (
        S3Access("files", endpoint_url=f"http://127.0.0.1:{free_port()}", is_path_style=True, **KEYS),
        S3Access("no-such-bucket", endpoint_url=moto_url, is_path_style=True, **KEYS),
    ):
        store = S3Store(access)
        for ask in (lambda store=store: store.put("a", io.BytesIO(b"x"), 1), lambda store=store: store.delete_older("a", 1)):
            with pytest.raises(Unavailable) as caught:
                ask()
            assert caught.value.code == "STORAGE_UNAVAILABLE"


def test_addresses_name_the_server_that_others_reach() -> None:
    settings = Settings(
        storage_url="s3://bucket/a/prefix/",
        s3_endpoint_url="http://inside:9000",
        s3_public_url="https://files.example.com",
        s3_region="eu-central-1",
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    )
    url = urlsplit(make_store(settings).signed_url("PUT", "results/a", 60, now=clock.now(), size_bytes=5))
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc, url.path) == ("https", "bucket.files.example.com", "/a/prefix/results/a")
    assert query["X-Amz-Expires"] == ["60"] and query["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert "/eu-central-1/s3/" in query["X-Amz-Credential"][0]


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "ftp://bucket/prefix", "file://", "bucket"])
def test_an_address_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        make_store(Settings(storage_url=url))
