"""The stores under test: `place` is each of them, `signing_place` those that check what was signed (moto does not)."""

import uuid
from pathlib import Path

import pytest

from tests.factories import radosgw, stores
from tests.factories.stores import Place

REAL = pytest.param("radosgw", marks=pytest.mark.system)


def make_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return stores.local_place(tmp_path / "store")
    if request.param == "moto":
        return stores.s3_place(request.getfixturevalue("moto_url"), "key", "secret", uuid.uuid4().hex, "moto")
    url = request.getfixturevalue("rados_url")
    return stores.s3_place(url, radosgw.ACCESS_KEY, radosgw.SECRET_KEY, uuid.uuid4().hex, "radosgw")


@pytest.fixture(params=["local", "moto", REAL])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, tmp_path)


@pytest.fixture(params=["local", REAL])
def signing_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, tmp_path)
