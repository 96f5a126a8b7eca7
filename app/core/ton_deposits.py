"""Deposits in TON and in jettons: where to pay them, and in what."""

import uuid

from sqlalchemy.orm import Session

from app.core import deposits
from app.core.ton_hub import TonHub
from app.errors import InvalidInput, Unavailable
from app.models.payments import Payment
from app.values.money import Money

CHAIN, COIN = "ton", "TON"


def ask(session: Session, hub: TonHub, account_id: uuid.UUID, amount: Money, memo_prefix: str, seconds: int) -> Payment:
    """Ask an account for a deposit to the hub's wallet, by a transfer whose comment is the payment's memo.

    Unavailable TON_NOT_TAKEN where the hub has no wallet on TON; InvalidInput for an asset that is not taken there.
    """
    if hub.wallet is None:
        raise Unavailable("this hub takes no payments on TON", code="TON_NOT_TAKEN")
    mint = _mint(hub, amount.asset)
    return deposits.ask(
        session, account_id, amount, chain=CHAIN, pay_to=hub.wallet.raw, mint=mint, memo_prefix=memo_prefix, seconds=seconds
    )


def _mint(hub: TonHub, asset: str) -> str | None:
    """The master of an asset's jetton, None for TON itself; the first one listed where there are several."""
    if asset == COIN:
        return None
    for master, named in hub.masters.items():
        if named == asset:
            return master.raw
    taken = ", ".join([COIN, *dict.fromkeys(hub.masters.values())])
    raise InvalidInput(f"{asset} is not taken on TON; taken are {taken}")
