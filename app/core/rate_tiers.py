"""How many requests a minute an account has agreed on."""

import uuid
from dataclasses import dataclass

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from app.core import accounts
from app.errors import InvalidInput
from app.models.accounts import Account, ApiKey
from app.values.rate_tiers import AGREED_MOST, ENTERPRISE, TIERS, per_minute


@dataclass(frozen=True, slots=True)
class AccountRate:
    """Requests a minute of one account."""

    account_id: uuid.UUID
    tier: str
    per_minute: int


def of_account(session: Session, account_id: uuid.UUID) -> AccountRate | None:
    """None for an account that there is not."""
    return _read(session, _QUERY.where(Account.id == account_id))


def of_key(session: Session, secret: str) -> AccountRate | None:
    """Of the account with this API key; None for a key that does not work."""
    query = _QUERY.join(ApiKey, ApiKey.account_id == Account.id)
    return _read(session, query.where(ApiKey.secret_hash == accounts.hash_secret(secret), accounts.key_works()))


def agree(session: Session, account_id: uuid.UUID, tier: str, agreed: int | None = None) -> AccountRate:
    """Put an account into a tier; `agreed` is an enterprise's own number, which it must have and no other may.

    InvalidInput for what makes no sense, NotFound for an unknown account.
    """
    if tier not in TIERS:
        raise InvalidInput(f"unknown tier {tier!r}: one of {', '.join(TIERS)}")
    if (tier == ENTERPRISE) != (agreed is not None):
        raise InvalidInput(f"{ENTERPRISE} needs a number of requests per minute, and no other tier has one of its own")
    if agreed is not None and not 1 <= agreed <= AGREED_MOST:
        raise InvalidInput(f"requests per minute must be from 1 to {AGREED_MOST}")
    accounts.known_id(session, account_id)
    session.execute(update(Account).where(Account.id == account_id).values(rate_tier=tier, requests_per_minute=agreed))
    return AccountRate(account_id, tier, per_minute(tier, agreed))


_QUERY = select(Account.id, Account.rate_tier, Account.requests_per_minute)


def _read(session: Session, query: "Select[uuid.UUID, str, int | None]") -> AccountRate | None:
    row = session.execute(query).one_or_none()
    return None if row is None else AccountRate(row[0], row[1], per_minute(row[1], row[2]))
