"""Accounts and how they are recognised: wallets, API keys, and messages that are good once."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from app.models.accounts import ROLES, SCOPES, Account, ApiKey, Identity, UsedMessage
from app.values import clock

KEY_PREFIXES = ("ly_", "rc_")
SECRET_BYTES, SECRET_CHARS, SHOWN_CHARS = 32, 43, 7


def ensure_identity(session: Session, kind: str, value: str, name: str = "") -> uuid.UUID:
    """The account that this identity belongs to; a new account with it when nobody has it yet."""
    query = select(Identity.account_id).where(Identity.kind == kind, Identity.value == value)
    found = session.scalar(query)
    if found is not None:
        return found
    with session.begin_nested() as savepoint:
        account = Account(id=uuid.uuid4(), name=name)
        session.add(account)
        session.flush()
        row = {"id": uuid.uuid4(), "account_id": account.id, "kind": kind, "value": value, "created_at": clock.now()}
        if session.execute(insert(Identity).values(row).on_conflict_do_nothing().returning(Identity.id)).scalar():
            return account.id
        savepoint.rollback()
    return session.scalars(query).one()


def register(session: Session, kind: str, value: str, name: str, secret_hash: str | None = None) -> Account:
    """A new account with its first identity; Conflict IDENTITY_TAKEN when somebody has that already."""
    account = Account(id=uuid.uuid4(), name=name)
    session.add(account)
    session.flush()
    row = {"id": uuid.uuid4(), "account_id": account.id, "kind": kind, "value": value, "created_at": clock.now()}
    statement = insert(Identity).values(row | {"secret_hash": secret_hash}).on_conflict_do_nothing()
    if session.execute(statement.returning(Identity.id)).scalar() is None:
        raise Conflict(f"this {kind} is registered already; log in with it", code="IDENTITY_TAKEN")
    return account


def link_identity(session: Session, account_id: uuid.UUID, kind: str, value: str) -> uuid.UUID:
    """Give the account one more identity, unless somebody has it already. Returns whose it is."""
    row = {"id": uuid.uuid4(), "account_id": account_id, "kind": kind, "value": value, "created_at": clock.now()}
    session.execute(insert(Identity).values(row).on_conflict_do_nothing())
    return session.scalars(select(Identity.account_id).where(Identity.kind == kind, Identity.value == value)).one()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account is signed in to by: the password's hash, and whether the account may be used."""

    account_id: uuid.UUID
    secret_hash: str | None
    is_active: bool


def credentials(session: Session, kind: str, value: str) -> Credentials | None:
    """Of the account with this identity; None when nobody has it."""
    query = select(Identity.account_id, Identity.secret_hash, Account.is_active)
    found = session.execute(
        query.join(Account, Account.id == Identity.account_id).where(Identity.kind == kind, Identity.value == value)
    ).one_or_none()
    return None if found is None else Credentials(*found)


def known_id(session: Session, account_id: uuid.UUID) -> uuid.UUID:
    """The id, where it is an account's; else NotFound."""
    if session.get(Account, account_id) is None:
        raise NotFound(f"there is no account {account_id}")
    return account_id


def hash_secret(secret: str) -> str:
    """API keys are 256 random bits: one SHA-256 is enough to store them by."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    session: Session,
    account_id: uuid.UUID,
    name: str,
    scopes: list[str],
    prefix: str = "ly_",
    expires_at: datetime | None = None,
) -> str:
    """Make an API key and return its secret, which is shown this once and stored hashed."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidInput(f"unknown scopes {unknown}; known are {', '.join(SCOPES)}", details={"scopes": unknown})
    secret = prefix + secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        ApiKey(
            account_id=account_id,
            name=name,
            prefix=shown(secret),
            secret_hash=hash_secret(secret),
            scopes=sorted(set(scopes)),
            needs_wallet_signature=prefix.startswith("rc_"),
            expires_at=expires_at,
        )
    )
    return secret


def shown(secret: str) -> str:
    """How a key's secret begins, for its owner to tell it by: what all of its kind begin with, and a little of its own."""
    return secret[: len(secret) - SECRET_CHARS + SHOWN_CHARS]


def revoke_key(session: Session, key_id: uuid.UUID) -> bool:
    """End a key; False if it was unknown or already revoked."""
    statement = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=clock.now())
    return session.execute(statement.returning(ApiKey.id)).one_or_none() is not None


def key_works() -> ColumnElement[bool]:
    """Of a key: neither revoked nor over."""
    return ApiKey.revoked_at.is_(None) & or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now())


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose API key it is, and what it may do. `signature_version` is the newest version of wallets' signatures that it has seen,
    `ends_at` when the key ends by itself."""

    account: Account
    key_id: uuid.UUID
    scopes: list[str]
    needs_wallet_signature: bool
    signature_version: int
    ends_at: datetime | None


def authenticate_key(session: Session, secret: str) -> KeyHolder:
    """Whose API key this is; one query. 401 when it is unknown, revoked or over. Whether a wallet's signature came with it, where
    it needs one, is for the caller to see to."""
    columns = (ApiKey.id, ApiKey.scopes, ApiKey.needs_wallet_signature, ApiKey.signature_version, ApiKey.expires_at)
    query = (
        select(Account, *columns)
        .join(ApiKey, ApiKey.account_id == Account.id)
        .where(ApiKey.secret_hash == hash_secret(secret), key_works(), Account.is_active)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        raise Unauthenticated("this API key is unknown, revoked or expired", code="INVALID_API_KEY")
    return KeyHolder(*row)


def ensure_operator(session: Session, secret: str | None = None) -> str:
    """Make sure that an operator with a working key exists; returns the key (a given one that works is kept)."""
    if secret:
        if session.scalar(select(ApiKey.id).where(ApiKey.secret_hash == hash_secret(secret), key_works())) is not None:
            return secret
    return create_key(session, operator_account(session), "operator", list(SCOPES))


def operator_account(session: Session) -> uuid.UUID:
    """The account of whoever runs the hub, with every role."""
    account_id = ensure_identity(session, "operator", "operator", "Operator")
    session.execute(update(Account).where(Account.id == account_id).values(roles=list(ROLES)))
    return account_id


def grant_role(session: Session, account_id: uuid.UUID, role: str) -> None:
    """Add a role to an account; one that it has already stays once."""
    account = session.get_one(Account, account_id, with_for_update=True)
    account.roles = sorted({*account.roles, role})


def revoke_role(session: Session, account_id: uuid.UUID, role: str) -> None:
    """Take a role from an account; one that it does not have is no matter."""
    account = session.get_one(Account, account_id, with_for_update=True)
    account.roles = sorted({*account.roles} - {role})


def use_once(session: Session, message: str, window_seconds: int) -> None:
    """Note a signed message as used; a second use is a Conflict. Committed with whatever the message ordered."""
    if not note_message(session, message, window_seconds):
        raise Conflict("this signed message was used before; sign a new one", code="SIGNATURE_REPLAYED")


def note_message(session: Session, message: str, window_seconds: int) -> bool:
    """The same; False for a second use."""
    row = {
        "digest": hashlib.sha256(message.encode()).hexdigest(),
        "expires_at": clock.now() + timedelta(seconds=2 * window_seconds),
    }
    statement = insert(UsedMessage).values(row).on_conflict_do_nothing()
    return session.execute(statement.returning(UsedMessage.digest)).scalar() is not None


def forget_used_messages(session: Session) -> int:
    """Drop messages whose window is long over."""
    statement = delete(UsedMessage).where(UsedMessage.expires_at < clock.now()).returning(UsedMessage.digest)
    return len(session.scalars(statement).all())
