"""The text of a ledger entry that is hashed into a tree: exact to the byte, so that a stranger hashes the same.

The text is one JSON object with these members, in this order (that of their names), no spaces, UTF-8, nothing escaped that JSON
does not make one escape:

    account    UUID of the ledger account that the entry belongs to
    amount     whole minor units of the asset as a string of digits ("100000" is 10.0000 CREDIT): no reader rounds it
    asset      SOL, TON, USDC, USDT, RENDER, RCREDIT or CREDIT
    direction  DEBIT leaves the account, CREDIT arrives
    id         the entry's gap-free integer
    reference  what the movement is for, unique among transfers
    time       when it was posted: UTC, microseconds, `2026-03-13T12:00:00.000000Z`
    uuid       the entry's UUID, under which histories show it
"""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from app.values import merkle


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry's facts as the ledger's rows have them; None where a row is not there any more."""

    number: int
    entry_id: uuid.UUID | None
    account_id: uuid.UUID | None
    direction: str | None
    amount_minor: int | None
    asset: str | None
    reference: str | None
    created_at: datetime | None

    @property
    def text(self) -> str:
        """The canonical text; a row that is gone has nulls, which no anchored text ever has."""
        members = {
            "account": _text(self.account_id),
            "amount": _text(self.amount_minor),
            "asset": self.asset,
            "direction": self.direction,
            "id": self.number,
            "reference": self.reference,
            "time": None if self.created_at is None else format_time(self.created_at),
            "uuid": _text(self.entry_id),
        }
        return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _text(value: uuid.UUID | int | None) -> str | None:
    return None if value is None else str(value)


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hash_text(text: str) -> bytes:
    """The leaf hash of a canonical text."""
    return merkle.leaf_hash(text.encode())


def is_gone(text: str) -> bool:
    """Whether the text is of a number whose entry is not there."""
    return bool(json.loads(text)["uuid"] is None)


def changed_fields(before: str, after: str) -> list[str]:
    """The members in which two canonical texts differ; empty when either is no such text."""
    try:
        old, new = json.loads(before), json.loads(after)
        return [name for name in new if old.get(name) != new[name]]
    except (ValueError, AttributeError, TypeError):
        return []
