"""Every file store, behind one face for the tests: a local folder, moto's imitation of S3, a real S3 server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
from botocore.config import Config
from flask import Flask
from moto.server import ThreadedMotoServer

from app.adapters.storage.local import LocalStore
from app.adapters.storage.port import ObjectStore
from app.adapters.storage.s3 import S3Store
from app.adapters.storage.s3_client import S3Access
from app.api import files
from app.api.dialect import Dialect, envelope, install_errors
from tests.factories import radosgw
from tests.factories.missing import go_without

BUCKET = "files"
SECRET = "a secret of the test that is long enough"


@dataclass
class Place:
    """A store, and a client that knows nothing but addresses. `settings` make a hub use it."""

    store: ObjectStore
    settings: dict[str, Any]
    name: str

    def ask(self, method: str, url: str, data: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        answer = httpx.request(method, url, content=data, headers=headers, timeout=60)
        return answer.status_code, answer.content


class LocalPlace(Place):
    """The hub itself serves these addresses: asked through its own view."""

    def ask(self, method: str, url: str, data: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        app = Flask("files")
        app.extensions["lightyard"] = SimpleNamespace(store=self.store)
        app.register_blueprint(files.blueprint)
        install_errors(app, (Dialect("node", ("/",), envelope),))
        parts = urlsplit(url)
        with app.test_client() as client:
            answer = client.open(f"{parts.path}?{parts.query}", method=method, data=data or None, headers=headers)
            return answer.status_code, answer.data


def local_place(folder: Path) -> LocalPlace:
    settings = {"storage_url": f"file://{folder}"}
    return LocalPlace(LocalStore(folder, SECRET, "http://127.0.0.1:8000/"), settings, "local")


def s3_place(endpoint_url: str, key: str, secret: str, prefix: str, name: str) -> Place:
    """A prefix of its own on a server, whose bucket is made when it is missing."""
    access = S3Access(BUCKET, prefix, endpoint_url, "", "us-east-1", key, secret, is_path_style=True)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=BUCKET)
    settings = {
        "storage_url": f"s3://{BUCKET}/{prefix}",
        "s3_endpoint_url": endpoint_url,
        "s3_access_key_id": key,
        "s3_secret_access_key": secret,
        "s3_path_style": True,
    }
    return Place(S3Store(access), settings, name)


@contextmanager
def moto_server() -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def rados_server(folder: Path) -> Iterator[str]:
    missing = radosgw.missing_commands()
    if missing:
        reason = f"a real S3 server wants Debian's radosgw, ceph-osd and ceph-mon; missing: {', '.join(missing)}"
        go_without(reason)
    server = radosgw.RadosGateway(folder)
    try:
        yield server.start().url
    finally:
        server.stop()
