"""Ledger entries as the leaves of trees."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.values.ledger_leaf import Leaf

# What is missing shows as NULL: a row that somebody took away must be seen, not passed over.
_LEAVES = text("""
SELECT n.number, e.id, e.account_id, e.direction, e.amount_minor, t.asset, t.reference, e.created_at
FROM entry_numbers n LEFT JOIN entries e ON e.id = n.entry_id LEFT JOIN transfers t ON t.id = e.transfer_id
WHERE n.number BETWEEN :first AND :last ORDER BY n.number""")


def read(session: Session, first_number: int, last_number: int) -> list[Leaf]:
    """The numbered entries of a range as the tables have them now, in order."""
    rows = session.execute(_LEAVES, {"first": first_number, "last": last_number})
    return [Leaf(*row) for row in rows]
