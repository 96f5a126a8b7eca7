"""Chains for anchors: whatever this machine has, and anvil, which can be told to misbehave."""

from collections.abc import Iterator

import pytest

from tests.factories.evm_chains import EvmChain, anvil_chain, any_chain


@pytest.fixture(scope="module")
def local_chain() -> Iterator[EvmChain]:
    with any_chain() as chain:
        yield chain


@pytest.fixture
def anvil() -> Iterator[EvmChain]:
    """Each transaction is mined at once."""
    with anvil_chain() as chain:
        yield chain


@pytest.fixture
def idle_anvil() -> Iterator[EvmChain]:
    """Blocks are made by `mine` only."""
    with anvil_chain("--no-mining") as chain:
        yield chain
