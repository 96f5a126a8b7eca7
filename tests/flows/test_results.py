"""What a node that announces nothing has uploaded: hashed, unless it is too large to count anyway."""

import hashlib
import io
import uuid

import pytest

from app.config import Settings
from app.core.completions import Terms
from app.flows import results
from app.flows.results import Rules
from app.values.rates import read_table
from tests.factories import stores

RULES = Rules((3, 5), max_bytes=10, max_pixels=100, max_run_bytes=20, terms=Terms(70, read_table(Settings().rates)))


def test_only_what_may_count_is_read(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores.s3_place(moto_url, "key", "secret", uuid.uuid4().hex, "moto").store
    assert results.stored(store, "results/a", RULES) is None
    store.put("results/a", io.BytesIO(b"x" * 20), 100)
    assert results.stored(store, "results/a", RULES) == (hashlib.sha256(b"x" * 20).hexdigest(), 20)
    store.put("results/a", io.BytesIO(b"x" * 21), 100)
    monkeypatch.setattr(store, "stat", None)  # which reads all of it
    assert results.stored(store, "results/a", RULES) == ("", 21)
