"""The ledger as its operator reads it: sums, balances, an account's entries, one transfer. Nothing here posts or locks.

Rows are plain and ready to be printed: ids and moments are text, an amount is a decimal string beside whole minor units.
Whoever reads much reads page by page, each in a unit of work of its own: a page begins `after` the last row of the one before.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, UUID
from sqlalchemy.orm import Session

from app.core.ledger import PLATFORM_KINDS
from app.errors import InvalidInput, NotFound
from app.values import ton_address
from app.values.money import Money

PAGE_ROWS = 1000
_SIGNED = "CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END"
_WHO = """(SELECT string_agg(i.kind || ':' || i.value, ', ' ORDER BY i.kind, i.value) FROM identities i
    WHERE i.account_id = a.owner_id) AS owner"""

# A user's account keeps its balance; a platform's is the sum of its entries.
_TOTALS = text(f"""
SELECT a.kind, a.asset, a.owner_id IS NULL AS is_platform, count(*) AS accounts, sum(coalesce(a.balance_minor,
    (SELECT coalesce(sum({_SIGNED}), 0) FROM entries e WHERE e.account_id = a.id))) AS minor
FROM ledger_accounts a GROUP BY a.kind, a.asset, a.owner_id IS NULL ORDER BY a.asset, a.kind""")
_BALANCES = text(f"""
SELECT a.id, a.kind, a.asset, a.owner_id, {_WHO}, coalesce(a.balance_minor,
    (SELECT coalesce(sum({_SIGNED}), 0) FROM entries e WHERE e.account_id = a.id)) AS minor
FROM ledger_accounts a
WHERE (CAST(:after AS uuid) IS NULL OR a.id > :after) AND (CAST(:asset AS text) IS NULL OR a.asset = :asset)
    AND (CAST(:kind AS text) IS NULL OR a.kind = :kind) AND (CAST(:owner_id AS uuid) IS NULL OR a.owner_id = :owner_id)
    AND (:with_empty OR a.balance_minor IS DISTINCT FROM 0)
ORDER BY a.id LIMIT :limit""").bindparams(
    bindparam("after", type_=UUID(as_uuid=True)), bindparam("owner_id", type_=UUID(as_uuid=True))
)
_ENTRY = f"""
SELECT e.sequence, n.number, e.id, e.direction, e.amount_minor, {_SIGNED} AS signed_minor, e.balance_after_minor, e.created_at,
    a.kind, a.asset, t.id AS transfer_id, t.reference, t.purpose, t.job_id, t.description
FROM entries e JOIN ledger_accounts a ON a.id = e.account_id JOIN transfers t ON t.id = e.transfer_id
LEFT JOIN entry_numbers n ON n.entry_id = e.id"""
_PAGE = """{entry}
WHERE e.account_id = ANY(:ids) AND e.sequence {beyond} :after
    AND (CAST(:since AS timestamptz) IS NULL OR e.created_at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR e.created_at < :until)
ORDER BY e.sequence {order} LIMIT :limit"""
_TYPES = (
    bindparam("ids", type_=ARRAY(UUID(as_uuid=True))),
    bindparam("since", type_=TIMESTAMP(timezone=True)),
    bindparam("until", type_=TIMESTAMP(timezone=True)),
)
_OLDEST_FIRST = text(_PAGE.format(entry=_ENTRY, beyond=">", order="ASC")).bindparams(*_TYPES)
_NEWEST_FIRST = text(_PAGE.format(entry=_ENTRY, beyond="<", order="DESC")).bindparams(*_TYPES)
_SUM = text(f"""
SELECT coalesce(sum({_SIGNED}), 0) FROM entries e WHERE e.account_id = ANY(:ids) AND e.created_at < :moment
""").bindparams(_TYPES[0], bindparam("moment", type_=TIMESTAMP(timezone=True)))
FIRST, LAST = 0, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on, up to before another; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Meant:
    """Whose ledger accounts (None: the platform's), of which kind and asset; None does not narrow those."""

    owner_id: uuid.UUID | None
    kind: str | None = None
    asset: str | None = None


def _take_time(session: Session) -> None:
    """A platform's account is the sum of millions of entries: longer than a request may take."""
    session.execute(text("SET LOCAL statement_timeout = 0"))


def totals(session: Session) -> list[dict[str, Any]]:
    """What all accounts of a kind hold together, by asset. Over all kinds of an asset it is nothing."""
    _take_time(session)
    return [
        {
            "asset": row.asset,
            "kind": row.kind,
            "is_platform": row.is_platform,
            "accounts": row.accounts,
            "balance": _written(int(row.minor), row.asset),
            "balance_minor": str(int(row.minor)),
        }
        for row in session.execute(_TOTALS)
    ]


def balances(session: Session, meant: Meant, with_empty: bool, after: uuid.UUID | None = None) -> list[dict[str, Any]]:
    """A page of ledger accounts and what is on each, in the order of their ids; without an owner, everybody's."""
    wanted: dict[str, Any] = {"asset": meant.asset, "kind": meant.kind, "owner_id": meant.owner_id}
    wanted |= {"with_empty": with_empty, "after": after, "limit": PAGE_ROWS}
    _take_time(session)
    return [_balance(row) for row in session.execute(_BALANCES, wanted).mappings()]


def _balance(row: RowMapping) -> dict[str, Any]:
    owner = row["owner"] or ("platform" if row["owner_id"] is None else None)
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "asset": row["asset"],
        "balance": _written(int(row["minor"]), row["asset"]),
        "balance_minor": str(int(row["minor"])),
        "account_id": None if row["owner_id"] is None else str(row["owner_id"]),
        "owner": owner,
    }


_KNOWN = text("""
SELECT id, NULL AS kind, NULL AS asset FROM accounts WHERE id = :id
UNION SELECT owner_id, kind, asset FROM ledger_accounts WHERE id = :id
UNION SELECT account_id, NULL, NULL FROM identities
WHERE (kind, value) IN (('email', lower(:told)), ('solana', :told), ('ton', :raw), ('node_key', :told), ('operator', :told))
""").bindparams(bindparam("id", type_=UUID(as_uuid=True)))


def find(session: Session, told: str) -> Meant:
    """`told` is one of the platform's kinds (fees, chain, …), an account's id, a ledger account's, or an identity (an e-mail
    address, a wallet). NotFound for somebody unknown."""
    if told in PLATFORM_KINDS:
        return Meant(None, told)
    found = session.execute(_KNOWN, {"told": told, "id": _uuid(told), "raw": _raw(told)}).all()
    if len(found) != 1:
        many = f"{told!r} means several accounts: give the id of one" if found else f"nobody is known as {told!r}"
        kinds = ", ".join(PLATFORM_KINDS)
        raise NotFound(f"{many}. An e-mail address, a wallet, an account's id, or one of the platform's own: {kinds}")
    return Meant(*found[0])


def _uuid(told: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(told)
    except ValueError:
        return None


def _raw(told: str) -> str:
    """A wallet on TON has many forms and is known by one."""
    try:
        return ton_address.read(told).raw
    except InvalidInput:
        return told


_IDS = text("""
SELECT id FROM ledger_accounts WHERE owner_id IS NOT DISTINCT FROM :owner_id
    AND (CAST(:asset AS text) IS NULL OR asset = :asset) AND (CAST(:kind AS text) IS NULL OR kind = :kind) ORDER BY id
""").bindparams(bindparam("owner_id", type_=UUID(as_uuid=True)))


def ledger_ids(session: Session, meant: Meant) -> list[uuid.UUID]:
    """The ledger accounts that are meant. NotFound when there are none."""
    wanted = {"owner_id": meant.owner_id, "asset": meant.asset, "kind": meant.kind}
    ids: list[uuid.UUID] = list(session.scalars(_IDS, wanted))
    if not ids:
        narrowed = " ".join(part for part in (meant.kind, meant.asset) if part)
        raise NotFound(f"this account never had {narrowed or 'any money'}: `lightyard ledger balances` lists those that have")
    return ids


def entries(
    session: Session, ids: list[uuid.UUID], span: Span, after: int, newest_first: bool = False
) -> list[dict[str, Any]]:
    """A page of the entries of these ledger accounts, beyond the sequence `after` (FIRST or LAST begins)."""
    wanted = {"ids": ids, "since": span.since, "until": span.until, "after": after, "limit": PAGE_ROWS}
    rows = session.execute(_NEWEST_FIRST if newest_first else _OLDEST_FIRST, wanted)
    return [_entry(row) for row in rows.mappings()]


def balance_before(session: Session, ids: list[uuid.UUID], moment: datetime) -> int:
    """What these ledger accounts, all of one asset, held together just before a moment, in minor units."""
    _take_time(session)
    return int(session.execute(_SUM, {"ids": ids, "moment": moment}).scalar_one())


def transfer(session: Session, told: str) -> dict[str, Any]:
    """One transfer, by its reference, its id, or the number or id of one of its entries; with both legs and their tree."""
    number = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None
    found = list(session.scalars(_NAMED, {"told": told, "id": _uuid(told), "number": number}))
    if len(found) != 1:
        raise NotFound(f"there is no transfer {told!r}: give its reference, as `lightyard ledger entries` shows it, or an id")
    row = session.execute(_TRANSFER, {"id": found[0]}).mappings().one()
    legs = session.execute(_LEGS, {"id": found[0]}).mappings()
    return {
        "id": str(row["id"]),
        "reference": row["reference"],
        "asset": row["asset"],
        "amount": _written(row["amount_minor"], row["asset"]),
        "amount_minor": str(row["amount_minor"]),
        "purpose": row["purpose"],
        "description": row["description"],
        "job_id": None if row["job_id"] is None else str(row["job_id"]),
        "created_at": row["created_at"].isoformat(),
        "entries": [_leg(leg) for leg in legs],
    }


_NAMED = text("""
SELECT id FROM transfers WHERE reference = :told UNION SELECT id FROM transfers WHERE id = :id
UNION SELECT transfer_id FROM entries WHERE id = :id
UNION SELECT e.transfer_id FROM entry_numbers n JOIN entries e ON e.id = n.entry_id WHERE n.number = CAST(:number AS bigint)
""").bindparams(bindparam("id", type_=UUID(as_uuid=True)))
_TRANSFER = text("SELECT * FROM transfers WHERE id = :id")
_LEGS = text(f"""
SELECT leg.*, leg.account_id AS ledger_account_id, {_WHO}, a.owner_id, b.number AS tree, b.state AS anchor_state, b.tx_hash
FROM ({_ENTRY.replace("SELECT e.sequence", "SELECT e.account_id, e.sequence")} WHERE e.transfer_id = :id) leg
JOIN ledger_accounts a ON a.id = leg.account_id
LEFT JOIN anchor_batches b ON leg.number BETWEEN b.first_number AND b.last_number
ORDER BY leg.direction DESC""")


def _leg(row: RowMapping) -> dict[str, Any]:
    owner = row["owner"] or ("platform" if row["owner_id"] is None else None)
    known = {"account_id": None if row["owner_id"] is None else str(row["owner_id"]), "owner": owner}
    found = _entry(row)
    parts = {name: found[name] for name in ("number", "id", "direction", "kind", "amount", "balance_after")}
    anchored = {"tree": row["tree"], "anchor_state": row["anchor_state"], "anchor_tx_hash": row["tx_hash"]}
    return parts | known | {"ledger_account_id": str(row["ledger_account_id"])} | anchored


def _entry(row: RowMapping) -> dict[str, Any]:
    """`number` is the entry's gap-free integer, null until the books number it; `amount` is signed: debits are negative."""
    after = row["balance_after_minor"]
    return {
        "sequence": row["sequence"],
        "number": row["number"],
        "id": str(row["id"]),
        "created_at": row["created_at"].isoformat(),
        "direction": row["direction"],
        "kind": row["kind"],
        "asset": row["asset"],
        "amount": _written(row["signed_minor"], row["asset"]),
        "amount_minor": str(row["signed_minor"]),
        "balance_after": None if after is None else _written(after, row["asset"]),
        "reference": row["reference"],
        "purpose": row["purpose"],
        "description": row["description"],
        "job_id": None if row["job_id"] is None else str(row["job_id"]),
    }


def _written(minor: int, asset: str) -> str:
    try:
        return str(Money(minor, asset))
    except InvalidInput:
        return f"{minor} minor units"  # books that are broken are read here, too
