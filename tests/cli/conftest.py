"""A home for a stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.stacks import fresh_home


@pytest.fixture
def home() -> Iterator[Path]:
    with fresh_home() as folder:
        yield folder
