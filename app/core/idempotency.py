"""Idempotency keys: one committed answer per caller and key, kept for a day."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models.accounts import IdempotencyKey
from app.values import clock

KEEP_HOURS = 24
# How long one request may hold its key without an answer: longer than the server lets a worker be silent (app.serving.timeout),
# with a margin. Only a holder that was killed holds it so long.
HOLD_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was committed before."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def begin(session: Session, caller: str, key: str, request_hash: str) -> uuid.UUID | Kept:
    """Take the key for this request: an id to `keep` or `release` it by, or the answer that is kept under it.

    Conflict when the key was used for another request (IDEMPOTENCY_KEY_REUSED), or when the same request is being
    answered right now (IDEMPOTENCY_IN_PROGRESS, with `retry_after`). A holder that died is followed after HOLD_SECONDS, under the
    same id: what it may have committed in the name of that id is found again, not made twice.
    """
    now = clock.now()
    row = {
        "id": uuid.uuid4(),
        "caller": caller,
        "key": key,
        "request_hash": request_hash,
        "status": None,
        "body": None,
        "headers": None,
        "expires_at": now + timedelta(seconds=HOLD_SECONDS),
    }
    statement = insert(IdempotencyKey).values(row)
    is_same = IdempotencyKey.status.is_(None) & (IdempotencyKey.request_hash == request_hash)
    followed = row | {"id": case((is_same, IdempotencyKey.id), else_=row["id"])}
    taken = statement.on_conflict_do_update(
        index_elements=["caller", "key"], set_=followed, where=IdempotencyKey.expires_at <= now
    )
    held = session.execute(taken.returning(IdempotencyKey.id)).scalar()
    if held is not None:
        return uuid.UUID(str(held))
    query = select(IdempotencyKey).where(IdempotencyKey.caller == caller, IdempotencyKey.key == key)
    found = session.scalars(query).one_or_none()
    if found is not None and found.request_hash != request_hash:
        raise Conflict("this Idempotency-Key was used for another request; make a new one", code="IDEMPOTENCY_KEY_REUSED")
    if found is None or found.status is None:
        raise _in_progress(found.expires_at - now if found else timedelta())
    return Kept(found.status, found.body or "", found.headers or {})


def _in_progress(left: timedelta) -> Conflict:
    """Asked for soon at first, since most answers come within a second, then after as long as the key has been held already: who
    keeps to it finds a key whose holder died soon after it is free."""
    left_seconds = max(1, math.ceil(left.total_seconds()))
    retry_after = min(left_seconds, max(1, HOLD_SECONDS - left_seconds))
    message = (
        f"a request with this Idempotency-Key is being answered; ask again in {retry_after} s"
        f" (if it was lost, the key is free in {left_seconds} s)"
    )
    return Conflict(message, code="IDEMPOTENCY_IN_PROGRESS", details={"retry_after": retry_after, "free_after": left_seconds})


def keep(
    session: Session, held_id: uuid.UUID, status: int, body: str, headers: Mapping[str, str] | None = None
) -> None:
    """Keep the committed answer for a day; the first one counts, should a holder that was given up come back."""
    statement = update(IdempotencyKey).where(*_unanswered(held_id))
    ends_at = clock.now() + timedelta(hours=KEEP_HOURS)
    session.execute(statement.values(status=status, body=body, headers=dict(headers) if headers else None, expires_at=ends_at))


def release(session: Session, held_id: uuid.UUID) -> None:
    """Nothing was committed: the key is free again."""
    session.execute(delete(IdempotencyKey).where(*_unanswered(held_id)))


def _unanswered(held_id: uuid.UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyKey.id == held_id, IdempotencyKey.status.is_(None)


def let_go(session: Session, held_id: uuid.UUID) -> None:
    """Nobody knows whether something was committed: the same request may follow at once, under the same id."""
    session.execute(update(IdempotencyKey).where(*_unanswered(held_id)).values(expires_at=clock.now()))


def forget_expired(session: Session) -> int:
    """Drop answers whose day is over, and keys without an answer a day after their holder died. Returns how many."""
    now = clock.now()
    is_unclear = IdempotencyKey.status.is_(None)
    is_over = or_(~is_unclear, IdempotencyKey.expires_at < now - timedelta(hours=KEEP_HOURS))
    statement = delete(IdempotencyKey).where(IdempotencyKey.expires_at < now, is_over).returning(IdempotencyKey.id)
    return len(session.scalars(statement).all())
