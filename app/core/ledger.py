"""The ledger: every movement of money is one transfer with two legs, posted once per reference."""

import uuid
from dataclasses import dataclass

from sqlalchemy import case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import Conflict, PaymentRequired
from app.models.ledger import Entry, LedgerAccount, Transfer
from app.values import clock
from app.values.money import Money

# What an account of a user is for. Only a provider's debt may go below zero.
USER_KINDS = ("balance", "held", "external", "debt", "owed", "stake")
PLATFORM_KINDS = ("chain", "fees")


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
) -> bool:
    """Move `amount`; True if this call posted it, False if the reference was posted before.

    A reference names one movement for ever: the same one again is harmless, another amount under it is a Conflict.
    A user's balance that would fall below zero is PaymentRequired. Balance rows are locked in the order of their ids.
    """
    accounts = {party: open_account(session, party, amount.asset) for party in (source, destination)}
    row = {
        "id": uuid.uuid4(),
        "source_id": accounts[source].id,
        "destination_id": accounts[destination].id,
        "amount_minor": amount.minor,
        "asset": amount.asset,
        "reference": reference,
        "job_id": job_id,
        "created_at": clock.now(),
    }
    made = session.execute(
        insert(Transfer).values(row).on_conflict_do_nothing(index_elements=["reference"]).returning(Transfer.id)
    ).scalar()
    if made is None:
        _assert_same(session, row)
        return False
    deltas = {accounts[source].id: -amount.minor, accounts[destination].id: amount.minor}
    after = {key: _change(session, key, deltas[key], amount) for key in sorted(deltas)}
    session.execute(
        insert(Entry),
        [
            {
                "id": uuid.uuid4(),
                "transfer_id": made,
                "account_id": key,
                "direction": "DEBIT" if delta < 0 else "CREDIT",
                "amount_minor": abs(delta),
                "balance_after_minor": after[key],
                "created_at": row["created_at"],
            }
            for key, delta in deltas.items()
        ],
    )
    return True


def _assert_same(session: Session, row: dict[str, object]) -> None:
    old = session.scalars(select(Transfer).where(Transfer.reference == row["reference"])).one()
    same = all(getattr(old, key) == row[key] for key in ("source_id", "destination_id", "amount_minor", "asset"))
    if not same:
        raise Conflict(f"reference {row['reference']} was posted with other values", code="REFERENCE_REUSED")


def _change(session: Session, account_id: uuid.UUID, delta: int, amount: Money) -> int | None:
    """Change a user's balance under its row lock; a platform account has no row to change."""
    new = LedgerAccount.balance_minor + delta
    result = session.execute(
        update(LedgerAccount)
        .where(LedgerAccount.id == account_id, (new >= 0) | LedgerAccount.may_be_negative)
        .values(balance_minor=new)
        .returning(LedgerAccount.balance_minor)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if result is None:
        raise PaymentRequired(f"not enough {amount.asset} for {amount}", details={"requested": str(amount)})
    return result[0]


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


def take_up_to(session: Session, party: Party, amount: Money) -> Money:
    """How much of `amount` the party can give now; its row stays locked until the unit of work ends."""
    account = open_account(session, party, amount.asset)
    held = session.scalar(
        select(LedgerAccount.balance_minor).where(LedgerAccount.id == account.id).with_for_update()
    )
    return Money(max(0, min(int(held or 0), amount.minor)), amount.asset)


def differences(session: Session) -> list[str]:
    """Every way in which the books disagree with themselves; an empty list is the invariant."""
    checks = {
        "a transfer without exactly two equal legs": """
            SELECT t.id::text FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id GROUP BY t.id
            HAVING count(e.id) <> 2 OR sum(CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END) <> 0
            OR max(e.amount_minor) <> t.amount_minor""",
        "a balance that its entries do not add up to": """
            SELECT a.id::text FROM ledger_accounts a LEFT JOIN entries e ON e.account_id = a.id
            WHERE a.balance_minor IS NOT NULL GROUP BY a.id HAVING a.balance_minor <>
            coalesce(sum(CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END), 0)""",
        "a balance below zero": """
            SELECT id::text FROM ledger_accounts WHERE balance_minor < 0 AND NOT may_be_negative""",
    }
    return [f"{name}: {row[0]}" for name, sql in checks.items() for row in session.execute(text(sql))]


def number_entries(session: Session) -> int:
    """Give committed entries their gap-free integers; one numbering pass runs at a time. Returns how many."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('entry_numbers'))"))
    result = session.execute(
        text("""
        INSERT INTO entry_numbers (number, entry_id)
        SELECT coalesce((SELECT max(number) FROM entry_numbers), 0) + row_number() OVER (ORDER BY e.sequence), e.id
        FROM entries e LEFT JOIN entry_numbers n ON n.entry_id = e.id WHERE n.entry_id IS NULL RETURNING number""")
    )
    return len(result.all())
