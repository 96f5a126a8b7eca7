"""API keys as their owner makes, sees and ends them."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import outbox
from app.core import accounts, wallet_keys
from app.errors import Conflict, Forbidden, NotFound
from app.models.accounts import Account, ApiKey
from app.values import clock

KEYS_MOST = 100
STANDARD, ROBOCOMPUTE, ROBOCOMPUTE_PROVIDER = "standard", "robocompute", "robocompute_provider"
KINDS = {STANDARD: "ly_", ROBOCOMPUTE: "rc_live_", ROBOCOMPUTE_PROVIDER: "rc_prov_live_"}
"""How the secrets of each kind of key begin. RoboCompute's need the wallet's signature on each request, in every API."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key, and its secret, which is known this once."""

    key: ApiKey
    secret: str


def issue(
    session: Session,
    account_id: uuid.UUID,
    name: str,
    scopes: list[str],
    held: Collection[str],
    ends_at: datetime | None = None,
    kind: str = STANDARD,
) -> Issued:
    """A new key of the account, of one of KINDS; `ends_at` is when the key ends that makes it. Locks the account, so that
    KEYS_MOST holds.

    InvalidInput for a scope that does not exist, Forbidden for one that whoever makes the key does not hold, Conflict when the
    account has as many keys as it may, Refused WALLET_MISSING where nobody could sign for the key.
    """
    session.get_one(Account, account_id, with_for_update=True)
    if kind != STANDARD:
        wallet_keys.require_signer(session, account_id)
    secret = accounts.create_key(session, account_id, name, scopes, KINDS[kind], ends_at)
    beyond = sorted(set(scopes) - set(held))
    if beyond:
        message = f"a key may do no more than whoever makes it; you don't have {', '.join(beyond)}"
        raise Forbidden(message, code="SCOPE_MISSING", details={"scopes": beyond})
    if _count(session, account_id) > KEYS_MOST:
        raise Conflict(f"an account has at most {KEYS_MOST} keys; delete one first", code="TOO_MANY_KEYS")
    return Issued(session.scalars(select(ApiKey).where(ApiKey.secret_hash == accounts.hash_secret(secret))).one(), secret)


def of_account(session: Session, account_id: uuid.UUID) -> list[ApiKey]:
    """The account's keys that work, the newest first: at most KEYS_MOST, and those that an operator made beside them."""
    query = select(ApiKey).where(ApiKey.account_id == account_id, accounts.key_works())
    return list(session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id).limit(2 * KEYS_MOST)))


def revoke(session: Session, account_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """End a key of the account, at once and everywhere; NotFound for anybody else's, as for none and one that is over."""
    statement = (
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=clock.now())
        .returning(ApiKey.id)
    )
    if session.execute(statement.execution_options(synchronize_session=False)).scalar() is None:
        raise NotFound("You have no such key")
    outbox.tell_followers(session, account_id)  # whoever is connected by it is looked at again


def _count(session: Session, account_id: uuid.UUID) -> int:
    query = select(func.count()).select_from(ApiKey).where(ApiKey.account_id == account_id, accounts.key_works())
    return int(session.scalar(query) or 0)
