"""Sign-ins: begun with a proof of who somebody is, kept alive by refresh tokens that are good once, ended by either side."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app import outbox
from app.models.accounts import Account
from app.models.sign_ins import SignIn
from app.values import clock

REFRESH_SECONDS = 7 * 86_400
# The same refresh sent twice at once (two tabs, a retrying proxy) is no theft. The second still gets nothing.
RACE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One sign-in, and the refresh token that is good for it now."""

    id: uuid.UUID
    account_id: uuid.UUID
    refresh_id: uuid.UUID


def begin(session: Session, account_id: uuid.UUID) -> SignedIn:
    """A new sign-in of an account that has just proven itself, by whatever means."""
    now = clock.now()
    row = SignIn(
        id=uuid.uuid4(),
        account_id=account_id,
        refresh_id=uuid.uuid4(),
        rotated_at=now,
        expires_at=now + timedelta(seconds=REFRESH_SECONDS),
    )
    session.add(row)
    session.flush()
    return SignedIn(row.id, account_id, row.refresh_id)


def rotate(session: Session, sign_in_id: uuid.UUID, account_id: uuid.UUID, refresh_id: uuid.UUID) -> SignedIn | None:
    """Use up a refresh token and give the next one; None if it is not the one that is good now.

    One that was used before has two holders, one of them a thief: the sign-in ends (commit it, though the answer is a refusal),
    unless both came within RACE_SECONDS.
    """
    now, next_id = clock.now(), uuid.uuid4()
    is_alive = (SignIn.id == sign_in_id, SignIn.account_id == account_id, SignIn.ended_at.is_(None), SignIn.expires_at > now)
    statement = (
        update(SignIn)
        .where(*is_alive, SignIn.refresh_id == refresh_id, SignIn.account_id == Account.id, Account.is_active)
        .values(
            refresh_id=next_id,
            previous_refresh_id=refresh_id,
            rotated_at=now,
            expires_at=now + timedelta(seconds=REFRESH_SECONDS),
        )
        .returning(SignIn.id)
    )
    if session.execute(statement.execution_options(synchronize_session=False)).scalar() is not None:
        return SignedIn(sign_in_id, account_id, next_id)
    is_race = (SignIn.previous_refresh_id == refresh_id) & (SignIn.rotated_at > now - timedelta(seconds=RACE_SECONDS))
    is_used = (SignIn.refresh_id != refresh_id) & ~is_race.is_(True)
    session.execute(
        update(SignIn)
        .where(*is_alive, is_used)
        .values(ended_at=now, end_reason="reused")
        .execution_options(synchronize_session=False)
    )
    return None


def end(session: Session, sign_in_id: uuid.UUID, reason: str = "logout") -> bool:
    """End a sign-in and with it all its tokens; False if it was over already."""
    statement = update(SignIn).where(SignIn.id == sign_in_id, SignIn.ended_at.is_(None))
    values = statement.values(ended_at=clock.now(), end_reason=reason).returning(SignIn.account_id)
    account_id = session.execute(values.execution_options(synchronize_session=False)).scalar()
    if account_id is not None:
        outbox.tell_followers(session, account_id)  # whoever is connected by it is looked at again
    return account_id is not None


def account_of(session: Session, sign_in_id: uuid.UUID, account_id: uuid.UUID) -> Account | None:
    """The account, while it and its sign-in are alive."""
    query = (
        select(Account)
        .join(SignIn, SignIn.account_id == Account.id)
        .where(SignIn.id == sign_in_id, Account.id == account_id, SignIn.ended_at.is_(None), Account.is_active)
    )
    return session.scalars(query).one_or_none()


def forget_expired(session: Session) -> int:
    """Drop sign-ins whose last refresh token is over. Returns how many."""
    statement = delete(SignIn).where(SignIn.expires_at < clock.now()).returning(SignIn.id)
    return len(session.scalars(statement).all())
