"""What the hub is on Solana, by its settings."""

import pytest

from app.config import Settings
from app.core import solana_hub
from app.errors import ConfigError
from app.wiring import malformed

WALLET = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"


def test_its_wallet_and_its_tokens_come_from_the_settings() -> None:
    found = solana_hub.read(Settings(solana_wallet=f" {WALLET} ", solana_mints=f"USDC={WALLET}"))
    assert (found.wallet, found.mints) == (WALLET, {"USDC": WALLET})
    assert solana_hub.read_wallet(Settings()) is None


@pytest.mark.parametrize("text", ["x", WALLET[:20], f"{WALLET}1", "0:" + "1" * 64])
def test_a_wallet_that_is_none_stops_the_hub_and_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="SOLANA_WALLET"):
        solana_hub.read(Settings(solana_wallet=text))
    assert "SOLANA_WALLET" in malformed(Settings(solana_wallet=text))
