"""API keys that count only together with a signature of their account's wallet."""

import uuid

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import accounts
from app.core.accounts import KeyHolder
from app.errors import Refused
from app.models.accounts import ApiKey, Identity

ONCE_VERSION = 2
SIGNERS_MOST = 16
"""So many of an account's wallets may sign, those that came first: each is tried."""


def signers(session: Session, account_id: uuid.UUID) -> list[str]:
    """The addresses of the Solana wallets whose signature counts for the account's keys."""
    query = select(Identity.value).where(Identity.account_id == account_id, Identity.kind == "solana")
    return list(session.scalars(query.order_by(Identity.created_at, Identity.id).limit(SIGNERS_MOST)))


def require_signer(session: Session, account_id: uuid.UUID) -> None:
    """Refused for an account that has no wallet to sign with."""
    if not signers(session, account_id):
        message = "such a key needs a Solana wallet's signature on each request: link one with POST /rnp/v1/wallet/link first"
        raise Refused(message, code="WALLET_MISSING")


def use_up(session: Session, holder: KeyHolder, nonce: str, window_seconds: int) -> bool:
    """Note a signature that is good once, and that the key takes no older version from now on; False for a nonce that the key has
    used before. Committed with whatever the request ordered, so two at once never both have an effect."""
    if not accounts.note_message(session, f"wallet-signature:{holder.key_id}:{nonce}", window_seconds):
        return False
    if holder.signature_version < ONCE_VERSION:
        statement = update(ApiKey).where(ApiKey.id == holder.key_id, ApiKey.signature_version < ONCE_VERSION)
        session.execute(statement.values(signature_version=ONCE_VERSION).execution_options(synchronize_session=False))
    return True
