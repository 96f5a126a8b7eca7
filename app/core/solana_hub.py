"""What the hub is on Solana: its wallet, and the tokens that count as money."""

from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.config import Settings
from app.core import chain_cursors
from app.errors import ConfigError
from app.values import token_accounts
from app.values.payouts import SOLANA, read_mints
from app.values.signatures import is_solana_address


@dataclass(frozen=True, slots=True)
class SolanaHub:
    """`wallet` is None where the hub takes no deposits on Solana; `mints` are the allow-listed tokens by asset."""

    wallet: str | None
    mints: dict[str, str] = field(default_factory=dict)


def read(settings: Settings) -> SolanaHub:
    """From the settings; ConfigError for an address that is none, or a token that nobody knows."""
    return SolanaHub(read_wallet(settings), read_mints(settings.solana_mints))


def read_wallet(settings: Settings) -> str | None:
    """SOLANA_WALLET, checked; None for an empty one."""
    text = settings.solana_wallet.strip()
    if text and not is_solana_address(text):
        raise ConfigError(f"SOLANA_WALLET must be the base58 address of a Solana wallet, not {text!r}")
    return text or None


def watch(session: Session, hub: SolanaHub, assets: tuple[str, ...]) -> None:
    """Have the hub's wallet and its accounts of these tokens read now and then, whoever was asked to pay there last: a deposit
    may come weeks after it was asked for."""
    if hub.wallet is None:
        return
    chain_cursors.keep_watched(session, SOLANA, hub.wallet)
    for asset in assets:
        if asset in hub.mints:
            chain_cursors.keep_watched(session, SOLANA, token_accounts.address(hub.wallet, hub.mints[asset]))
