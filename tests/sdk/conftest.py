from collections.abc import Iterator

import pytest
from solders.keypair import Keypair

from robocompute import RoboComputeClient
from tests.api.conftest import solana_url
from tests.sdk.scripted import Script, scripted

__all__ = ["solana_url"]  # a fixture that these tests share with tests/api
API_KEY = "rc_live_test"


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted() as found:
        yield found


@pytest.fixture
def wallet() -> Keypair:
    return Keypair()


@pytest.fixture
def client(script: Script, wallet: Keypair) -> Iterator[RoboComputeClient]:
    """Its pauses are noted, and not waited for."""
    with RoboComputeClient(API_KEY, keypair=wallet, base_url=script.url) as found:
        found.transport.sleep = [].append
        yield found
