"""Challenges: random text that a wallet signs once to prove whose it is."""

import secrets
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, Unauthenticated
from app.models.wallet_challenges import WalletChallenge
from app.values import clock

PAYLOAD_BYTES = 32
WORDS = {"solana": "Solana", "ton": "TON"}
# Whoever asks for challenges in a stranger's name must not crowd out that wallet's own: so many of them are looked through.
SIGNED_AMONG = 256


def offer(session: Session, chain: str, address: str, seconds: int) -> WalletChallenge:
    """A new challenge for one wallet. Others that it has stay good."""
    now = clock.now().replace(microsecond=0)
    row = WalletChallenge(
        payload=secrets.token_urlsafe(PAYLOAD_BYTES),
        chain=chain,
        address=address,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )
    session.add(row)
    session.flush()
    return row


def message(challenge: WalletChallenge, domain: str) -> str:
    """The text that a Solana wallet shows and signs: to whom, as whom, which challenge, until when."""
    return "\n".join((
        f"Sign in to {domain} with this {WORDS[challenge.chain]} wallet:",
        challenge.address,
        "",
        "This is free of charge and moves no money.",
        f"Domain: {domain}",
        f"Challenge: {challenge.payload}",
        f"Good until: {challenge.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    ))


def standing(session: Session, chain: str, address: str, payload: str | None = None) -> list[WalletChallenge]:
    """The wallet's challenges that are not over, the newest first, used ones among them; with `payload`, that one."""
    query = select(WalletChallenge).where(
        WalletChallenge.chain == chain, WalletChallenge.address == address, WalletChallenge.expires_at > clock.now()
    )
    if payload is not None:
        query = query.where(WalletChallenge.payload == payload)
    return list(session.scalars(query.order_by(WalletChallenge.created_at.desc()).limit(SIGNED_AMONG)))


def use(session: Session, challenge: WalletChallenge) -> None:
    """Use it up, once whoever comes at the same time; committed with what it was signed for.

    Conflict CHALLENGE_USED for a second use, Unauthenticated when it is over.
    """
    is_open = (WalletChallenge.payload == challenge.payload, WalletChallenge.used_at.is_(None))
    now = clock.now()
    if challenge.expires_at <= now:
        raise unknown()
    statement = update(WalletChallenge).where(*is_open).values(used_at=now).returning(WalletChallenge.payload)
    if session.execute(statement.execution_options(synchronize_session=False)).scalar() is None:
        raise Conflict("this challenge was used before; ask for a new one", code="CHALLENGE_USED")


def unknown() -> Unauthenticated:
    """The refusal of a challenge that this wallet was not given, or whose time is over."""
    return Unauthenticated("this wallet has no such challenge, or its time is over; ask for a new one", code="CHALLENGE_UNKNOWN")


def forget_expired(session: Session) -> int:
    """Drop challenges that are over. Returns how many."""
    statement = delete(WalletChallenge).where(WalletChallenge.expires_at < clock.now()).returning(WalletChallenge.payload)
    return len(session.scalars(statement).all())
