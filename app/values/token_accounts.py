"""Where a Solana wallet keeps a token: a transfer of it names that account, and often not the wallet."""

from solders.pubkey import Pubkey

from app.values import solana_payouts


def address(owner: str, mint: str) -> str:
    """The wallet's associated account for a token; ValueError where either is no address."""
    return str(solana_payouts.token_account(Pubkey.from_string(owner), Pubkey.from_string(mint)))
