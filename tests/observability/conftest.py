"""A hub with chains, a signer and nodes, and its sweeps, which run here as the worker would run them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app import counts
from app.config import Settings
from app.wiring import Hub
from tests.api.conftest import FakeNode, Market, client, hub, market, node, payer, solana_url
from tests.api.conftest import settings as plain_settings
from tests.factories.payouts import SIGNER_SETTINGS, SignerProcess, signer_process
from tests.factories.ton import TonChain
from workers import watches

__all__ = ["client", "hub", "market", "node", "payer", "plain_settings", "solana_url"]
GPU = {"index": 0, "utilization_percent": 87, "memory_used_bytes": 6 * 2**30, "memory_total_bytes": 24 * 2**30,
       "temperature_celsius": 71, "power_watts": 310.5}


@pytest.fixture
def settings(plain_settings: Settings, ton_chain: TonChain, tmp_path: Path) -> Settings:
    mints = SIGNER_SETTINGS["SOLANA_MINTS"]
    return replace(plain_settings, ton_api_url=ton_chain.api_url, solana_mints=mints, lightyard_home=str(tmp_path), port=80)


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


@pytest.fixture
def sweep(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's sweeps are of this hub; what was counted before is nobody's."""
    counts.take()
    monkeypatch.setattr(watches, "hub", lambda: hub)


@pytest.fixture
def gpu_node(market: Market) -> FakeNode:
    """A node with two GPUs, of which the driver says nothing of the second, and a lie about a third."""
    node = FakeNode(market, "gpu").join()
    gpus = [GPU, {"index": 1, "utilization_percent": None}, {**GPU, "temperature_celsius": 99}, {"index": "x", "power_watts": -1}]
    assert node.post("heartbeat", current_load=0.5, machine={"slots": 3, "gpus": gpus}).status_code == 200
    return node
