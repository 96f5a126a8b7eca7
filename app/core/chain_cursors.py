"""Which payees' addresses are read on a chain, and how far each was read."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.payments import ChainCursor
from app.values import clock

BUSY_SECONDS, QUIET_SECONDS = 2, 60
BUSY, WATCHED, KEPT = timedelta(minutes=30), timedelta(days=7), timedelta(days=5)


@dataclass(frozen=True, slots=True)
class Address:
    """A payee to be read: everything on its address after `signature` (None: nothing was read yet).

    A walk back to it that is not over yet began at `walk_head` and goes on at `walk_next`.
    """

    chain: str
    address: str
    signature: str | None
    walk_head: str | None = None
    walk_next: str | None = None


def watch(session: Session, chain: str, address: str) -> None:
    """A payment to this address is asked for: read it from now on. One row a payee, written at most once a minute."""
    now = clock.now()
    asked_at = session.scalar(select(ChainCursor.asked_at).where(_is(chain, address)))
    if asked_at is None:
        row = {"chain": chain, "address": address, "read_at": now - WATCHED, "asked_at": now}
        session.execute(insert(ChainCursor).values(row).on_conflict_do_nothing())
    elif asked_at < now - timedelta(seconds=60):
        session.execute(update(ChainCursor).where(_is(chain, address)).values(asked_at=now))


def keep_watched(session: Session, chain: str, address: str) -> None:
    """Read this address now and then, whether or not a payment to it was asked for lately; written about once in five days."""
    now = clock.now()
    row = {"chain": chain, "address": address, "read_at": now - WATCHED, "asked_at": now - BUSY}
    statement = insert(ChainCursor).values(row)
    again = statement.on_conflict_do_update(
        index_elements=["chain", "address"],
        set_={"asked_at": statement.excluded.asked_at},
        where=ChainCursor.asked_at < now - KEPT,
    )
    session.execute(again)


def _is(chain: str, address: str) -> ColumnElement[bool]:
    return and_(ChainCursor.chain == chain, ChainCursor.address == address)


def due(session: Session, limit: int = 50, chain: str = "solana", by_lot: bool = False) -> list[Address]:
    """Payees to read now, longest unread first: often while a quote of theirs may be paid, now and then for a week after.

    `by_lot`: in any order, so that a heap of those that can't be read keeps no other waiting.
    """
    now = clock.now()
    asked, read = ChainCursor.asked_at, ChainCursor.read_at
    is_busy = (asked > now - BUSY) & (read < now - timedelta(seconds=BUSY_SECONDS))
    is_quiet = (asked > now - WATCHED) & (read < now - timedelta(seconds=QUIET_SECONDS))
    query = select(ChainCursor).where(ChainCursor.chain == chain, is_busy | is_quiet)
    found = session.scalars(query.order_by(func.random() if by_lot else read).limit(limit))
    return [Address(item.chain, item.address, item.signature, item.walk_head, item.walk_next) for item in found]


def move(session: Session, place: Address, newest: str | None) -> None:
    """The address was read up to `newest` (None: there was nothing new)."""
    cursor = _locked(session, place)
    cursor.signature, cursor.read_at = newest or cursor.signature, clock.now()
    cursor.walk_head, cursor.walk_next = None, None


def pause(session: Session, place: Address, walk_head: str | None, walk_next: str | None) -> None:
    """The walk back goes on another time; without a place to go on from it begins again."""
    cursor = _locked(session, place)
    cursor.walk_head, cursor.walk_next = walk_head, walk_next


def forget(session: Session, chain: str, address: str) -> bool:
    """Read the address anew, from the first payment that was asked for; False for one that is not read at all."""
    values = {"signature": None, "walk_head": None, "walk_next": None, "read_at": clock.now() - WATCHED, "asked_at": clock.now()}
    statement = update(ChainCursor).where(_is(chain, address)).values(values)
    return session.execute(statement.returning(ChainCursor.address)).one_or_none() is not None


def is_still(session: Session, place: Address) -> bool:
    """Whether nobody else has read the address meanwhile; the cursor stays locked until the unit of work ends."""
    cursor = _locked(session, place)
    return (cursor.signature, cursor.walk_head, cursor.walk_next) == (place.signature, place.walk_head, place.walk_next)


def _locked(session: Session, place: Address) -> ChainCursor:
    query = select(ChainCursor).where(_is(place.chain, place.address)).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()
