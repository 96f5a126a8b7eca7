"""Deposits in tokens on Solana: where to pay them, and in what."""

import uuid

from sqlalchemy.orm import Session

from app.core import chain_cursors, deposits
from app.core.deposits import Memo
from app.core.solana_hub import SolanaHub
from app.errors import InvalidInput, Unavailable
from app.models.payments import Payment
from app.values import memos, token_accounts
from app.values.money import Money
from app.values.payouts import SOLANA


def ask(
    session: Session,
    hub: SolanaHub,
    account_id: uuid.UUID,
    amount: Money,
    *,
    memo_prefix: str,
    seconds: int,
    note: str | None = None,
    payment_id: uuid.UUID | None = None,
    memo: Memo = memos.long,
) -> Payment:
    """Ask an account for a deposit to the hub's wallet, by a transfer that carries the payment's memo. `payment_id`: asked for
    again under one id, it is the same deposit. Errors as `till`.
    """
    wallet, mint = till(session, hub, amount.asset)
    return deposits.ask(
        session,
        account_id,
        amount,
        chain=SOLANA,
        pay_to=wallet,
        mint=mint,
        memo_prefix=memo_prefix,
        seconds=seconds,
        note=note,
        payment_id=payment_id,
        memo=memo,
    )


def till(session: Session, hub: SolanaHub, asset: str) -> tuple[str, str | None]:
    """Where an asset is paid to the hub: (wallet, mint), the mint None for SOL itself. Both places are read from now on.

    Unavailable SOLANA_NOT_TAKEN where the hub has no wallet on Solana; InvalidInput for an asset that is not taken there.
    """
    if hub.wallet is None:
        raise Unavailable("this hub takes no deposits on Solana", code="SOLANA_NOT_TAKEN")
    chain_cursors.watch(session, SOLANA, hub.wallet)
    if asset == "SOL":
        return hub.wallet, None
    mint = hub.mints.get(asset)
    if mint is None:
        raise InvalidInput(f"{asset} is not taken on Solana; taken are SOL, {', '.join(hub.mints)}", code="ASSET_NOT_TAKEN")
    chain_cursors.watch(session, SOLANA, token_accounts.address(hub.wallet, mint))
    return hub.wallet, mint
