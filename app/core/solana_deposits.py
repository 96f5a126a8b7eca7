"""Deposits in tokens on Solana: where to pay them, and in what."""

import uuid

from sqlalchemy.orm import Session

from app.core import chain_cursors, deposits
from app.core.solana_hub import SolanaHub
from app.errors import InvalidInput, Unavailable
from app.models.payments import Payment
from app.values import token_accounts
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
) -> Payment:
    """Ask an account for a deposit to the hub's wallet, by a transfer that carries the payment's memo. `payment_id`: asked for
    again under one id, it is the same deposit.

    Unavailable SOLANA_NOT_TAKEN where the hub has no wallet on Solana; InvalidInput for an asset that is not taken there.
    """
    if hub.wallet is None:
        raise Unavailable("this hub takes no deposits on Solana", code="SOLANA_NOT_TAKEN")
    mint = hub.mints.get(amount.asset)
    if mint is None:
        raise InvalidInput(f"{amount.asset} is not taken on Solana; taken are {', '.join(hub.mints)}")
    chain_cursors.watch(session, SOLANA, token_accounts.address(hub.wallet, mint))
    return deposits.ask(
        session,
        account_id,
        amount,
        chain=SOLANA,
        pay_to=hub.wallet,
        mint=mint,
        memo_prefix=memo_prefix,
        seconds=seconds,
        note=note,
        payment_id=payment_id,
    )
