"""What an account has with this hub, by what it is for."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models.accounts import Identity
from app.models.ledger import LedgerAccount
from app.values.money import Money


@dataclass(frozen=True, slots=True)
class Holdings:
    """`by_kind[kind][asset]`: the ledger's kinds (balance: to spend; held: set aside for tasks; stake; payout: on its way out).
    `wallet` is the account's first Solana wallet, None where it has none."""

    by_kind: Mapping[str, Mapping[str, Money]]
    wallet: str | None


def read(session: Session, account_id: uuid.UUID, kinds: Sequence[str], assets: Sequence[str]) -> Holdings:
    """What the account has of these assets; nothing is locked. Kinds and assets that it never had are 0."""
    query = select(LedgerAccount.kind, LedgerAccount.asset, LedgerAccount.balance_minor).where(
        LedgerAccount.owner_id == account_id, LedgerAccount.kind.in_(kinds), LedgerAccount.asset.in_(assets)
    )
    found = {(kind, asset): int(minor or 0) for kind, asset, minor in session.execute(query)}
    by_kind = {kind: {asset: Money(found.get((kind, asset), 0), asset) for asset in assets} for kind in kinds}
    wallet = select(Identity.value).where(Identity.account_id == account_id, Identity.kind == "solana")
    return Holdings(by_kind, session.scalar(wallet.order_by(Identity.created_at, Identity.id).limit(1)))
