"""Credits: what a user has of them, where they came from and went, and taking some away."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.core import ledger, settlement, tallies
from app.core.ledger import Party
from app.errors import Conflict, PaymentRequired
from app.models.ledger import Entry, EntryNumber, LedgerAccount, Transfer
from app.values.money import Money
from app.values.purposes import Purpose

ASSET = "CREDIT"
# References of transfers. Users' own lie under their account's id, so that nobody's meet another's, or ours.
GRANT, USER, HOLD, RELEASE = "credits:grant:", "credits:user:", "credits:hold:", "credits:release:"
_OURS = re.compile(r"credits:(?:hold|release):(?P<job>[0-9a-f-]{36}):(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class CreditEntry:
    """One leg on a user's balance, as its owner is told it. `number` is the entry's gap-free integer, once it has one."""

    id: uuid.UUID
    number: int | None
    amount: Money
    direction: str
    purpose: Purpose
    reference_id: str
    balance_after: Money
    description: str | None
    created_at: datetime


def balances(session: Session, account_id: uuid.UUID) -> dict[str, Money]:
    """What an account has to spend (`balance`), what is set aside for its running jobs (`held`), and what it owes (`owed`)."""
    query = select(LedgerAccount.kind, LedgerAccount.balance_minor).where(
        LedgerAccount.owner_id == account_id, LedgerAccount.asset == ASSET, LedgerAccount.kind.in_(("balance", "held", "debt"))
    )
    found = {kind: Money(int(minor or 0), ASSET) for kind, minor in session.execute(query)}
    nothing = Money(0, ASSET)
    owed = nothing - found.pop("debt", nothing)
    return {"balance": nothing, "held": nothing} | found | {"owed": owed}


def history(session: Session, account_id: uuid.UUID, limit: int, offset: int) -> list[CreditEntry]:
    """The entries on an account's balance, the newest first."""
    query = _entries(account_id).order_by(Entry.sequence.desc()).limit(limit).offset(offset)
    return [_shown(account_id, entry, transfer, number) for entry, transfer, number in session.execute(query)]


def grant(
    session: Session, account_id: uuid.UUID, amount: Money, reference: str, purpose: Purpose, description: str | None = None
) -> bool:
    """Give credits, once per `reference` (a payment's, a refund's); True if this call gave them.

    The reference is ours, not the user's: the same one for another account or amount is a Conflict. What the account owes, for
    a purchase that was refunded when it was spent, is paid from it at once.
    """
    settlement.lock(session, {account_id: ("balance",)}, ASSET)
    is_given = ledger.post(
        session,
        Party("issued"),
        Party("balance", account_id),
        amount,
        f"{GRANT}{reference}",
        purpose=purpose,
        description=description,
    )
    if is_given:
        settlement.settle_debts(session, account_id, ASSET)
    return is_given


def deduct(
    session: Session, account_id: uuid.UUID, amount: Money, reference_id: str, description: str | None = None
) -> CreditEntry:
    """Take credits for a use that the user names, once per `reference_id`: the same again is the same entry.

    Conflict REFERENCE_REUSED for another amount under it; PaymentRequired says what is available.
    """
    reference = f"{USER}{account_id}:DEBIT:{reference_id}"
    if spend(session, Party("balance", account_id), Party("fees"), amount, reference, None, description):
        tallies.count_credits(session, amount)
    entry, transfer, number = session.execute(_entries(account_id).where(Transfer.reference == reference)).one()
    return _shown(account_id, entry, transfer, number)


def spend(
    session: Session,
    source: Party,
    destination: Party,
    amount: Money,
    reference: str,
    job_id: uuid.UUID | None,
    description: str | None,
) -> bool:
    """Post a use of credits, with refusals in a user's words; False if it was posted before."""
    try:
        return ledger.post(session, source, destination, amount, reference, job_id, Purpose.USAGE, description)
    except PaymentRequired as error:
        available = error.details["available"]
        message = f"Insufficient credits: {amount} requested, {available} available; buy more, or ask for less"
        raise PaymentRequired(message, code="INSUFFICIENT_CREDITS", details=error.details) from None
    except Conflict as error:
        if error.code != "REFERENCE_REUSED":
            raise
        message = "this reference_id was used for another amount; give each use its own"
        raise Conflict(message, code="REFERENCE_REUSED") from None


def _entries(account_id: uuid.UUID) -> Select[Entry, Transfer, int]:
    return (
        select(Entry, Transfer, EntryNumber.number)
        .join(Transfer, Transfer.id == Entry.transfer_id)
        .join(LedgerAccount, LedgerAccount.id == Entry.account_id)
        .outerjoin(EntryNumber, EntryNumber.entry_id == Entry.id)
        .where(LedgerAccount.kind == "balance", LedgerAccount.owner_id == account_id, LedgerAccount.asset == ASSET)
    )


def _shown(account_id: uuid.UUID, entry: Entry, transfer: Transfer, number: int | None) -> CreditEntry:
    return CreditEntry(
        id=entry.id,
        number=number,
        amount=Money(entry.amount_minor, ASSET),
        direction=entry.direction,
        purpose=Purpose(transfer.purpose or Purpose.ADJUSTMENT),
        reference_id=shown_reference(account_id, transfer.reference),
        balance_after=Money(int(entry.balance_after_minor or 0), ASSET),
        description=transfer.description,
        created_at=entry.created_at,
    )


def shown_reference(account_id: uuid.UUID, reference: str) -> str:
    """A transfer's reference without our namespaces: what the user gave, or `job-{id}` (its second hold `job-{id}.2`)."""
    for prefix in (f"{USER}{account_id}:DEBIT:", GRANT):
        if reference.startswith(prefix):
            return reference.removeprefix(prefix)
    ours = _OURS.fullmatch(reference)
    if ours is None:
        return reference
    return f"job-{ours['job']}" + ("" if ours["number"] == "1" else f".{ours['number']}")
