"""The wallets that an account is recognised by."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import accounts
from app.errors import Conflict, Unauthenticated
from app.models.accounts import Account, Identity
from app.values import clock

CHAINS = ("solana", "ton")


@dataclass(frozen=True, slots=True)
class OwnWallet:
    """A wallet of an account. `address` is canonical: base58, or TON's raw form."""

    chain: str
    address: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as its owner sees it."""

    id: uuid.UUID
    name: str
    roles: list[str]
    wallets: list[OwnWallet]


def enter(session: Session, chain: str, address: str) -> uuid.UUID:
    """The account of a wallet that has just proven itself; a new one when it has none. Unauthenticated if it is off."""
    account_id = accounts.ensure_identity(session, chain, address)
    if not session.scalar(select(Account.is_active).where(Account.id == account_id)):
        raise Unauthenticated("this account is switched off; ask whoever runs this hub", code="ACCOUNT_OFF")
    _note_proof(session, chain, address)
    return account_id


def link(session: Session, account_id: uuid.UUID, chain: str, address: str) -> None:
    """Add a wallet that has just proven itself to the account; one that it has already stays once.

    Conflict WALLET_TAKEN for a wallet of another account.
    """
    owner = accounts.link_identity(session, account_id, chain, address)
    if owner != account_id:
        raise Conflict("this wallet belongs to another account; sign in with it to use that", code="WALLET_TAKEN")
    _note_proof(session, chain, address)


def describe(session: Session, account_id: uuid.UUID) -> AccountView:
    """The account with its wallets, in the order in which they came."""
    account = session.get_one(Account, account_id)
    query = select(Identity.kind, Identity.value).where(Identity.account_id == account_id, Identity.kind.in_(CHAINS))
    found = session.execute(query.order_by(Identity.created_at, Identity.id).limit(100))
    return AccountView(account.id, account.name, account.roles, [OwnWallet(*row) for row in found])


def _note_proof(session: Session, chain: str, address: str) -> None:
    session.execute(
        update(Identity)
        .where(Identity.kind == chain, Identity.value == address, Identity.verified_at.is_(None))
        .values(verified_at=clock.now())
        .execution_options(synchronize_session=False)
    )
