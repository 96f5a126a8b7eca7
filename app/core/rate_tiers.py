"""How many requests a minute an account has agreed on."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import accounts, sign_ins
from app.errors import InvalidInput
from app.models.accounts import Account, ApiKey
from app.values.rate_tiers import AGREED_MOST, ENTERPRISE, TIERS, per_minute


@dataclass(frozen=True, slots=True)
class AccountRate:
    """Requests a minute of one account."""

    account_id: uuid.UUID
    tier: str
    per_minute: int


def of_sign_in(session: Session, sign_in_id: uuid.UUID, account_id: uuid.UUID) -> AccountRate | None:
    """Of the account with this sign-in; None where either is over."""
    account = sign_ins.account_of(session, sign_in_id, account_id)
    return None if account is None else of_account(account)


def of_key(session: Session, secret: str) -> AccountRate | None:
    """Of the account with this API key; None for a key that does not work."""
    query = select(Account).join(ApiKey, ApiKey.account_id == Account.id)
    works = (ApiKey.secret_hash == accounts.hash_secret(secret), accounts.key_works(), Account.is_active)
    account = session.scalars(query.where(*works)).one_or_none()
    return None if account is None else of_account(account)


def of_account(account: Account) -> AccountRate:
    """What an account has agreed on."""
    return AccountRate(account.id, account.rate_tier, per_minute(account.rate_tier, account.requests_per_minute))


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
