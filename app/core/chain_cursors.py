"""Which payees' addresses are read on a chain, and how far each was read."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.payments import ChainCursor
from app.values import clock

BUSY_SECONDS, QUIET_SECONDS = 2, 60
BUSY, WATCHED = timedelta(minutes=30), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Address:
    """A payee to be read: everything on its address after `signature` (None: nothing was read yet)."""

    chain: str
    address: str
    signature: str | None


def watch(session: Session, chain: str, address: str) -> None:
    """A payment to this address is asked for: read it from now on. One row a payee, written at most once a minute."""
    now = clock.now()
    asked_at = session.scalar(select(ChainCursor.asked_at).where(_is(chain, address)))
    if asked_at is None:
        row = {"chain": chain, "address": address, "read_at": now - WATCHED, "asked_at": now}
        session.execute(insert(ChainCursor).values(row).on_conflict_do_nothing())
    elif asked_at < now - timedelta(seconds=60):
        session.execute(update(ChainCursor).where(_is(chain, address)).values(asked_at=now))


def _is(chain: str, address: str) -> ColumnElement[bool]:
    return and_(ChainCursor.chain == chain, ChainCursor.address == address)


def due(session: Session, limit: int = 50) -> list[Address]:
    """Payees to read now, longest unread first: often while a quote of theirs may be paid, now and then for a week after."""
    now = clock.now()
    asked, read = ChainCursor.asked_at, ChainCursor.read_at
    is_busy = (asked > now - BUSY) & (read < now - timedelta(seconds=BUSY_SECONDS))
    is_quiet = (asked > now - WATCHED) & (read < now - timedelta(seconds=QUIET_SECONDS))
    found = session.scalars(select(ChainCursor).where(is_busy | is_quiet).order_by(read).limit(limit))
    return [Address(item.chain, item.address, item.signature) for item in found]


def move(session: Session, place: Address, newest: str | None) -> None:
    """The address was read up to `newest` (None: there was nothing new)."""
    cursor = session.scalars(select(ChainCursor).where(_is(place.chain, place.address)).with_for_update()).one()
    cursor.signature, cursor.read_at = newest or cursor.signature, clock.now()
