"""Where accounts want to be paid: an address counts once its wallet has signed for it, and a cool-off is over.

A stolen session can't send money elsewhere at once: the owner has the cool-off's time to revoke the thief's address.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core import accounts
from app.errors import Conflict, InvalidInput, NotFound, Refused, Unauthenticated
from app.models.accounts import Identity
from app.models.payouts import PayoutAddress
from app.values import clock, signatures, ton_address
from app.values.payouts import CHAINS, SOLANA

ADDRESSES_LIMIT = 20  # of one account that are not revoked
Proof = Callable[[str, str, str], bool]
"""(canonical address, message, signature) → whether the wallet's holder signed exactly this message."""


@dataclass(frozen=True, slots=True)
class AddressRules:
    """`proofs` by chain: how that chain's wallets sign. `network` is TON's."""

    cool_off_hours: int
    window_seconds: int
    proofs: Mapping[str, Proof]
    network: str = ton_address.MAINNET


def read(chain: str, address: object, network: str = ton_address.MAINNET) -> str:
    """The one form in which an address is kept; InvalidInput for none of this chain."""
    if chain not in CHAINS:
        raise InvalidInput(f"chain must be one of {', '.join(CHAINS)}", code="CHAIN_UNKNOWN")
    if chain != SOLANA:
        return ton_address.read(address, network).raw
    if not signatures.is_solana_address(address):
        raise InvalidInput(f"{address!r} is not a Solana address", code="ADDRESS_INVALID")
    return str(address)


def message(account_id: uuid.UUID, chain: str, address: str, timestamp_ms: int) -> str:
    """What the wallet signs: its address in canonical form, and the time in milliseconds."""
    return f"payout-address:{account_id}:{chain}:{address}:{timestamp_ms}"


def propose(
    session: Session,
    account_id: uuid.UUID,
    chain: str,
    address: str,
    timestamp_ms: int,
    signature: str,
    rules: AddressRules,
    is_automatic: bool = True,
) -> PayoutAddress:
    """Note a payout address that its wallet signed for. It replaces the account's present one when its cool-off is over.

    Unauthenticated for a signature that is not the wallet's over `message`, or is too old; Conflict when it was shown before. The
    wallet that the account was registered with needs no cool-off.
    """
    found = read(chain, address, rules.network)
    text = message(account_id, chain, found, timestamp_ms)
    now = clock.now()
    if abs(now.timestamp() * 1000 - timestamp_ms) > rules.window_seconds * 1000:
        raise Unauthenticated("the timestamp is too far from now; sign a new message", code="SIGNATURE_EXPIRED")
    proof = rules.proofs.get(chain)
    if proof is None or not proof(found, text, signature):
        raise Unauthenticated(f"the signature is not {found}'s over {text!r}", code="WALLET_SIGNATURE_INVALID")
    accounts.use_once(session, text, rules.window_seconds)
    _assert_room(session, account_id)
    wait_hours = 0 if _registered_with(session, account_id, chain) == found else rules.cool_off_hours
    row = PayoutAddress(
        account_id=account_id,
        chain=chain,
        address=found,
        is_automatic=is_automatic,
        signed_message=text,
        signature=signature,
        created_at=now,
        usable_at=now + timedelta(hours=wait_hours),
    )
    session.add(row)
    session.flush()
    return row


def propose_own(
    session: Session, account_id: uuid.UUID, chain: str, address: str, rules: AddressRules, is_automatic: bool = True
) -> PayoutAddress:
    """Make a wallet that the account has signed in with, or linked by a proof, its payout address: that was the signature.

    Refused for a wallet that was only told to us. The cool-off runs from its proof on.
    """
    found = read(chain, address, rules.network)
    query = select(Identity.verified_at).where(
        Identity.account_id == account_id, Identity.kind == chain, Identity.value == found, Identity.verified_at.is_not(None)
    )
    proven_at = session.scalar(query)
    if proven_at is None:
        raise Refused(f"{found} has not signed for this account yet: sign in with it", code="PAYOUT_ADDRESS_UNPROVEN")
    _assert_room(session, account_id)
    now = clock.now()
    is_first = _registered_with(session, account_id, chain) == found
    row = PayoutAddress(
        account_id=account_id,
        chain=chain,
        address=found,
        is_automatic=is_automatic,
        signed_message="signed in",
        signature="signed in",
        created_at=now,
        usable_at=now if is_first else max(now, proven_at + timedelta(hours=rules.cool_off_hours)),
    )
    session.add(row)
    session.flush()
    return row


def _assert_room(session: Session, account_id: uuid.UUID) -> None:
    if len(listed(session, account_id)) >= ADDRESSES_LIMIT:
        message = f"an account has at most {ADDRESSES_LIMIT} payout addresses: revoke one"
        raise Conflict(message, code="PAYOUT_ADDRESSES_LIMIT")


def revoke(session: Session, account_id: uuid.UUID, address_id: uuid.UUID) -> None:
    """Take an address back, at once; the one before it counts again."""
    statement = update(PayoutAddress).where(
        PayoutAddress.id == address_id, PayoutAddress.account_id == account_id, PayoutAddress.revoked_at.is_(None)
    )
    if session.execute(statement.values(revoked_at=clock.now()).returning(PayoutAddress.id)).one_or_none() is None:
        raise NotFound("no such payout address")


def listed(session: Session, account_id: uuid.UUID) -> list[PayoutAddress]:
    """An account's addresses that are not revoked, the newest first; one whose `usable_at` lies ahead does not count yet."""
    query = select(PayoutAddress).where(PayoutAddress.account_id == account_id, PayoutAddress.revoked_at.is_(None))
    return list(session.scalars(query.order_by(PayoutAddress.created_at.desc())))


def usable(session: Session, account_id: uuid.UUID, chain: str) -> PayoutAddress | None:
    """The account's address on a chain as of now: the newest whose cool-off is over."""
    query = select(PayoutAddress).where(
        PayoutAddress.account_id == account_id,
        PayoutAddress.chain == chain,
        PayoutAddress.revoked_at.is_(None),
        PayoutAddress.usable_at <= clock.now(),
    )
    return session.scalars(query.order_by(PayoutAddress.created_at.desc()).limit(1)).one_or_none()


def destination(session: Session, account_id: uuid.UUID, chain: str, wanted: str | None, cool_off_hours: int) -> str:
    """Where a payout may go: the account's payout address, or `wanted` if that is a wallet of the account's, or one that has
    signed for it.

    A wallet that was linked later waits for its cool-off like an address. Refused when there is none.
    """
    if wanted is None:
        address = usable(session, account_id, chain)
        if address is not None:
            return address.address
        raise Refused(f"the account has no payout address on {chain}: sign for one", code="PAYOUT_ADDRESS_MISSING")
    usable_at = _counts_from(session, account_id, chain, wanted)
    if usable_at is not None and usable_at <= clock.now():
        return wanted
    since = clock.now() - timedelta(hours=cool_off_hours)
    query = select(func.coalesce(Identity.verified_at, Identity.created_at)).where(
        Identity.account_id == account_id, Identity.kind == chain, Identity.value == wanted
    )
    known_since = session.scalar(query)
    if known_since is None and usable_at is not None:
        when = usable_at.isoformat(timespec="seconds")
        raise Refused(f"{wanted} may be paid from {when} on, when its cool-off is over", code="PAYOUT_ADDRESS_COOLING_OFF")
    if known_since is None:
        raise Refused(f"{wanted} is no wallet of this account: sign for it first", code="PAYOUT_ADDRESS_FOREIGN")
    if known_since > since and _registered_with(session, account_id, chain) != wanted:
        raise Refused(f"{wanted} may be paid {cool_off_hours} hours after it was linked", code="PAYOUT_ADDRESS_COOLING_OFF")
    return wanted


def _counts_from(session: Session, account_id: uuid.UUID, chain: str, address: str) -> datetime | None:
    """From when an address counts that its wallet has signed for; None for one that has not, or was taken back."""
    query = select(func.min(PayoutAddress.usable_at)).where(
        PayoutAddress.account_id == account_id,
        PayoutAddress.chain == chain,
        PayoutAddress.address == address,
        PayoutAddress.revoked_at.is_(None),
    )
    return session.scalar(query)


def _registered_with(session: Session, account_id: uuid.UUID, chain: str) -> str | None:
    """The wallet that the account began with; None when it began with something else."""
    query = select(Identity.kind, Identity.value).where(Identity.account_id == account_id)
    first = session.execute(query.order_by(Identity.created_at, Identity.id).limit(1)).one_or_none()
    return first.value if first is not None and first.kind == chain else None
