"""Nodes of the local Solana."""

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.factories.chain_nodes import Node

Start = Callable[..., Node]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts nodes, and stops them at the end of the test."""
    nodes: list[Node] = []

    def begin(*options: str, port: int = 0) -> Node:
        nodes.append(Node(*options, port=port))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Slots move by `pass_slots` only."""
    found = Node("--slot-ms", "0")
    yield found
    status, errors = found.end()
    assert (status, errors) == (0, "")


@pytest.fixture(scope="module")
def quick_node() -> Iterator[Node]:
    """Slots of 10 ms; block hashes are good for a minute, for a slow machine's sake."""
    found = Node("--slot-ms", "10", "--blockhash-blocks", "6000")
    yield found
    status, errors = found.end()
    assert (status, errors) == (0, "")
