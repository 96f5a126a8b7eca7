"""The ledger: every movement of money is one transfer with two legs, posted once per reference."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import TextClause, case, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import Conflict, PaymentRequired
from app.models.ledger import Entry, LedgerAccount, Transfer
from app.values import clock
from app.values.money import Money
from app.values.purposes import Purpose

# What an account of a user is for. Only a provider's debt may go below zero.
USER_KINDS = ("balance", "held", "external", "debt", "owed", "stake", "unstaking", "payout")
PLATFORM_KINDS = ("chain", "fees", "issued", "exchange", "unclaimed", "pool")


@dataclass(frozen=True, slots=True)
class Party:
    """Whose money, and what for: Party("balance", account_id); the platform's parties have no owner."""

    kind: str
    owner_id: uuid.UUID | None = None


def open_account(session: Session, party: Party, asset: str) -> LedgerAccount:
    """The account of this party in this asset, made on first use (safe when two make it at once)."""
    found = _find(session, party, asset)
    if found is not None:
        return found
    is_user = party.kind in USER_KINDS
    row = {
        "id": uuid.uuid4(),
        "kind": party.kind,
        "owner_id": party.owner_id,
        "asset": asset,
        "balance_minor": 0 if is_user else None,
        "may_be_negative": party.kind == "debt" or not is_user,
        "created_at": clock.now(),
    }
    session.execute(insert(LedgerAccount).values(row).on_conflict_do_nothing())
    made = _find(session, party, asset)
    if made is None:
        raise Conflict("the ledger account could not be opened")
    return made


def _find(session: Session, party: Party, asset: str) -> LedgerAccount | None:
    query = select(LedgerAccount).where(
        LedgerAccount.kind == party.kind,
        LedgerAccount.owner_id == party.owner_id
        if party.owner_id is not None
        else LedgerAccount.owner_id.is_(None),
        LedgerAccount.asset == asset,
    )
    return session.scalars(query).one_or_none()


def post(
    session: Session,
    source: Party,
    destination: Party,
    amount: Money,
    reference: str,
    job_id: uuid.UUID | None = None,
    purpose: Purpose | None = None,
    description: str | None = None,
) -> bool:
    """Move `amount`; True if this call posted it, False if the reference was posted before.

    A reference names one movement for ever: the same one again is harmless, another amount under it is a Conflict.
    A user's balance that would fall below zero is PaymentRequired, which says what was available. Balance rows are locked in
    the order of their ids. `purpose` and `description` are told to the owners; they identify nothing.
    """
    values = {
        "transfer": uuid.uuid4(),
        "debit": uuid.uuid4(),
        "credit": uuid.uuid4(),
        "source_kind": source.kind,
        "source_owner": source.owner_id,
        "destination_kind": destination.kind,
        "destination_owner": destination.owner_id,
        "amount": amount.minor,
        "asset": amount.asset,
        "reference": reference,
        "job_id": job_id,
        "purpose": purpose,
        "description": description,
        "now": clock.now(),
    }
    statement = _post_statement(source.owner_id is None, destination.owner_id is None)
    row = session.execute(statement, values).one()
    if row.source_id is None or row.destination_id is None:
        for party in (source, destination):
            open_account(session, party, amount.asset)
        row = session.execute(statement, values).one()
    if row.changed < row.locked:
        has = Money(int(row.available or 0), amount.asset)
        details = {"available": str(has), "requested": str(amount)}
        raise PaymentRequired(f"not enough {amount.asset}: {amount} requested, {has} available", details=details)
    if not row.made:
        _assert_same(session, reference, row.source_id, row.destination_id, amount)
    return bool(row.made)


# A movement whole, in one statement. Rows are locked in the order of their ids before any is changed; a platform's account has
# no balance and is neither locked nor changed. Entries take their sequence after the locks, so it tells the order of balances.
_POST = """
WITH ends AS (
    SELECT (SELECT id FROM ledger_accounts WHERE kind = :source_kind AND owner_id {source_is} AND asset = :asset) AS source_id,
        (SELECT id FROM ledger_accounts WHERE kind = :destination_kind AND owner_id {destination_is} AND asset = :asset)
            AS destination_id),
made AS (
    INSERT INTO transfers
        (id, source_id, destination_id, amount_minor, asset, reference, job_id, purpose, description, created_at)
    SELECT :transfer, source_id, destination_id, :amount, :asset, :reference, CAST(:job_id AS uuid), CAST(:purpose AS text),
        CAST(:description AS text), :now FROM ends
    WHERE source_id IS NOT NULL AND destination_id IS NOT NULL ON CONFLICT (reference) DO NOTHING
    RETURNING id, source_id, destination_id),
legs AS (
    SELECT CAST(:debit AS uuid) AS entry_id, source_id AS account_id, 'DEBIT' AS direction, -CAST(:amount AS bigint) AS delta
    FROM made
    UNION ALL SELECT CAST(:credit AS uuid), destination_id, 'CREDIT', CAST(:amount AS bigint) FROM made),
locked AS MATERIALIZED (
    SELECT a.id, a.balance_minor FROM ledger_accounts a
    WHERE a.id IN (SELECT account_id FROM legs) AND a.balance_minor IS NOT NULL ORDER BY a.id FOR UPDATE),
changed AS (
    UPDATE ledger_accounts a SET balance_minor = a.balance_minor + legs.delta
    FROM legs JOIN locked ON locked.id = legs.account_id
    WHERE a.id = legs.account_id AND (a.balance_minor + legs.delta >= 0 OR a.may_be_negative) RETURNING a.id, a.balance_minor),
noted AS (
    INSERT INTO entries (id, transfer_id, account_id, direction, amount_minor, balance_after_minor, created_at)
    SELECT legs.entry_id, :transfer, legs.account_id, legs.direction, :amount, changed.balance_minor, :now
    FROM legs LEFT JOIN changed ON changed.id = legs.account_id)
SELECT ends.source_id, ends.destination_id, (SELECT count(*) FROM made) AS made, (SELECT count(*) FROM locked) AS locked,
    (SELECT count(*) FROM changed) AS changed, (SELECT balance_minor FROM locked WHERE id = ends.source_id) AS available FROM ends
"""


@cache
def _post_statement(is_source_platform: bool, is_destination_platform: bool) -> TextClause:
    """The platform's accounts have no owner, and only IS NULL finds those through the index."""
    return text(
        _POST.format(
            source_is="IS NULL" if is_source_platform else "= :source_owner",
            destination_is="IS NULL" if is_destination_platform else "= :destination_owner",
        )
    )


def _assert_same(session: Session, reference: str, source_id: uuid.UUID, destination_id: uuid.UUID, amount: Money) -> None:
    old = session.scalars(select(Transfer).where(Transfer.reference == reference)).one()
    posted = (old.source_id, old.destination_id, old.amount_minor, old.asset)
    if posted != (source_id, destination_id, amount.minor, amount.asset):
        raise Conflict(f"reference {reference} was posted with other values", code="REFERENCE_REUSED")


def balance(session: Session, party: Party, asset: str) -> Money:
    """What the party has: a user's locked row, or the sum of a platform account's entries."""
    account = _find(session, party, asset)
    if account is None:
        return Money(0, asset)
    if account.balance_minor is not None:
        session.refresh(account)
        return Money(int(account.balance_minor), asset)
    signed = case((Entry.direction == "DEBIT", -Entry.amount_minor), else_=Entry.amount_minor)
    return Money(int(session.scalar(select(func.sum(signed)).where(Entry.account_id == account.id)) or 0), asset)


_AVAILABLE = text("""
SELECT kind, balance_minor FROM ledger_accounts WHERE owner_id = :owner_id AND asset = :asset AND kind = ANY(:kinds)
ORDER BY id FOR UPDATE
""")


def available(session: Session, owner_id: uuid.UUID, kinds: Sequence[str], asset: str) -> dict[str, Money]:
    """What an owner's accounts of these kinds hold, by kind; their rows stay locked until the unit of work ends.

    An account that was never opened holds nothing, and is not opened to say so.
    """
    rows = session.execute(_AVAILABLE, {"owner_id": owner_id, "asset": asset, "kinds": list(kinds)}).all()
    return {kind: Money(0, asset) for kind in kinds} | {row[0]: Money(max(0, int(row[1] or 0)), asset) for row in rows}


def take_up_to(session: Session, party: Party, amount: Money) -> Money:
    """How much of `amount` the party can give now; its row stays locked until the unit of work ends."""
    account = open_account(session, party, amount.asset)
    held = session.scalar(
        select(LedgerAccount.balance_minor).where(LedgerAccount.id == account.id).with_for_update()
    )
    return Money(max(0, min(int(held or 0), amount.minor)), amount.asset)
