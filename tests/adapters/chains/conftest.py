"""A local Solana whose slots move on command."""

from collections.abc import Iterator

import pytest

from tests.factories.chain_nodes import Node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    found = Node("--slot-ms", "0")
    yield found
    assert found.end() == (0, "")
