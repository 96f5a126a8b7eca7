"""Participants: who runs Cocoon workers, recognised by a TON wallet."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, any_, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import accounts
from app.errors import NotFound, Refused
from app.models.accounts import Account, Identity
from app.models.participants import Participant
from app.values import clock

IDENTITY = "ton"
Among = Collection[int] | None
"""Ids that a caller may see; None for an operator, who sees all."""


def of_account(session: Session, account_id: uuid.UUID) -> tuple[int, ...]:
    """The participants that an account is; none for most accounts."""
    return tuple(session.scalars(select(Participant.id).where(Participant.account_id == account_id).order_by(Participant.id)))


def owns_wallet(session: Session, account_id: uuid.UUID, wallet: str) -> bool:
    """Whether the account is signed in to by this wallet (its raw address)."""
    query = select(Identity.id).where(Identity.account_id == account_id, Identity.kind == IDENTITY, Identity.value == wallet)
    return session.scalar(query) is not None


def create(session: Session, wallet: str, values: Mapping[str, Any]) -> int:
    """Make a participant of a wallet's account, which is made on the way where nobody has it. Returns its id.

    `wallet` is a raw address, `values` are further columns. Refused WALLET_KNOWN for a wallet that is a participant already.
    """
    account_id = accounts.ensure_identity(session, IDENTITY, wallet, values.get("username") or "")
    now = clock.now()
    row = {"is_active": True, **values, "account_id": account_id, "wallet": wallet, "created_at": now, "updated_at": now}
    statement = insert(Participant).values(row).on_conflict_do_nothing(index_elements=["wallet"]).returning(Participant.id)
    made = session.execute(statement).scalar()
    if made is None:
        raise Refused("This wallet is a participant already; look it up by its address", code="WALLET_KNOWN")
    return int(made)


def change(session: Session, participant_id: int, values: Mapping[str, Any], among: Among = None) -> None:
    """Set columns of a participant; NotFound for one that is not among those."""
    query = _visible(select(Participant).where(Participant.id == participant_id), among)
    row = session.scalars(query.with_for_update()).one_or_none()
    if row is None:
        raise _unknown()
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = clock.now()


def set_operator(session: Session, participant_id: int, is_operator: bool) -> None:
    """Give a participant's account the operator's role, or take it away."""
    account_id = get(session, participant_id).account_id
    (accounts.grant_role if is_operator else accounts.revoke_role)(session, account_id, "operator")


def get(session: Session, participant_id: int, among: Among = None) -> Participant:
    """One participant; NotFound for one that is not among those, as for none."""
    return _one(session, select(Participant).where(Participant.id == participant_id), among)


def by_wallet(session: Session, wallet: str, among: Among = None) -> Participant:
    """The participant of a raw address; NotFound as `get`."""
    return _one(session, select(Participant).where(Participant.wallet == wallet), among)


def page(
    session: Session, among: Among, limit: int, offset: int, is_active: bool | None = None, is_operator: bool | None = None
) -> list[Participant]:
    """Participants in the order of their ids."""
    query = _visible(select(Participant), among)
    if is_active is not None:
        query = query.where(Participant.is_active == is_active)
    if is_operator is not None:
        query = query.where(_has_role("operator") if is_operator else ~_has_role("operator"))
    return list(session.scalars(query.order_by(Participant.id).limit(limit).offset(offset)))


def _has_role(role: str) -> ColumnElement[bool]:
    return select(Account.id).where(Account.id == Participant.account_id, literal(role) == any_(Account.roles)).exists()


def _one(session: Session, query: Select[Participant], among: Among) -> Participant:
    found = session.scalars(_visible(query, among).execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise _unknown()
    return found


def _visible(query: Select[Participant], among: Among) -> Select[Participant]:
    return query if among is None else query.where(Participant.id.in_(among))


def _unknown() -> NotFound:
    return NotFound("Participant not found", code="PARTICIPANT_UNKNOWN")
