"""Payments by x402, from the transaction that a client hands over to what the chain made of it.

Bytes are stored before they are sent, and only stored bytes are sent. Once a settlement is signed it may land: only the chain
says what became of it, and what landed is booked like any other transaction that carries its payment's memo.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import jobs, payments, x402_shares
from app.core.x402_shares import Shares
from app.errors import Conflict, Refused, Unavailable
from app.models.payments import ChainTransaction, Payment
from app.models.x402 import X402FeePayer, X402Settlement
from app.values import clock, memos
from app.values.money import Money
from app.values.payouts import SOLANA, Fate, SignedPayouts, Signing, Terms
from app.values.states import SigningOutcome
from app.values.x402 import WRAPPED_SOL, Offer, Requirement, Transfer, Unfit, assert_accepted, assert_pays

RECEIVED, REFUSED, SIGNED = "received", "refused", "signed"
LANDED, FAILED, EXPIRED = "landed", "failed", "expired"
LIVE, ENDED = (RECEIVED, SIGNED), (REFUSED, FAILED, EXPIRED)  # may land yet; never will, or has and paid nothing
FRESH = timedelta(minutes=5)  # a wallet that pays fees is believed in so long after a sweep saw it
TOPIC = "x402.settle"
MEMO_CHARS = 30  # more do not fit into what clients of x402 allow a transaction (app/values/memos.py)
TRANSACTION_FAILED = "transaction_failed"  # x402's word, and the judge's of payments
PENDING = "settlement_pending"  # x402's word for what nobody knows yet


@dataclass(frozen=True, slots=True)
class Desk:
    """Where payments by x402 go now: the cluster, the wallet that pays their fees, the least that is worth one, by asset, and how
    much of the fees others than the hub may use up."""

    network: str
    fee_payer: str
    minimums: Mapping[str, Money] = field(default_factory=dict)
    shares: Shares | None = None


def note_fee_payer(session: Session, address: str, network: str, lamports: int) -> int | None:
    """A wallet that pays fees was seen, with so much in it. Returns what was in it when it was seen before."""
    before = session.scalar(select(X402FeePayer.lamports).where(X402FeePayer.address == address))
    row = {"address": address, "network": network, "lamports": lamports, "seen_at": clock.now()}
    statement = insert(X402FeePayer).values(row)
    session.execute(statement.on_conflict_do_update(index_elements=["address"], set_=row))
    return before


def is_desk_known(session: Session, seconds: int, least_lamports: int) -> bool:
    """Whether such a wallet was seen in so many last seconds, with at least so much in it: an empty one is looked at again."""
    seen = (X402FeePayer.seen_at > clock.now() - timedelta(seconds=seconds), X402FeePayer.lamports >= least_lamports)
    return session.scalar(select(X402FeePayer.address).where(*seen).limit(1)) is not None


def desk(
    session: Session, least_lamports: int, minimums: Mapping[str, Money] | None = None, shares: Shares | None = None
) -> Desk | None:
    """None while no wallet with at least so much is known to be ready to pay fees."""
    query = select(X402FeePayer).where(X402FeePayer.seen_at > clock.now() - FRESH, X402FeePayer.lamports >= least_lamports)
    row = session.scalars(query.order_by(X402FeePayer.seen_at.desc()).limit(1)).one_or_none()
    return None if row is None else Desk(row.network, row.address, minimums or {}, shares)


def ways(payment: Payment, place: Desk | None) -> list[Requirement]:
    """How a payment can be made by x402: in its own token, or not at all. The scheme moves tokens only: a provider who is paid in
    SOL can be paid in wrapped SOL, which he has one for one; the hub's own wallet takes SOL as it is.
    """
    mint = WRAPPED_SOL if payment.mint is None and payment.purpose == "job" else payment.mint
    if place is None or mint is None or payment.chain != SOLANA or _is_too_small(payment, place):
        return []
    memo = payment.memo if len(payment.memo) <= MEMO_CHARS else _short_memo(payment)
    seconds = max(1, int((payment.expires_at - clock.now()).total_seconds()))
    asked = (mint, payment.amount_minor, payment.pay_to, memo)
    return [Requirement(place.network, *asked, place.fee_payer, seconds, str(payment.id))]


def _is_too_small(payment: Payment, place: Desk) -> bool:
    least = place.minimums.get(payment.asset)
    return least is not None and payment.amount_minor < least.minor


def named_by(session: Session, memo: object, reference: object) -> Payment | None:
    """The payment that an offer is about, by what its 402 told: its memo, and, where that is a short form, its reference."""
    try:
        found = session.get(Payment, uuid.UUID(str(reference)))
    except ValueError:
        return None
    return found if found is not None and memo in (found.memo, _short_memo(found)) else None


def _short_memo(payment: Payment) -> str:
    prefix, _, _ = payment.memo.partition(":")
    return memos.short(f"{prefix}:", payment.id)


def begin(session: Session, payment: Payment, place: Desk | None, offer: Offer, transfer: Transfer) -> X402Settlement:
    """Take a client's transaction for a payment, and have it signed and sent. The same one again is the same settlement.

    Unfit says what is wrong with it; Conflict TRANSACTION_USED (it was handed over for another payment), ALREADY_PAID, or
    SETTLEMENT_IN_PROGRESS (another one may land); Unavailable where none is taken now.
    """
    known = of_message(session, payment, transfer)
    if known is not None:
        return known
    try:
        _assert_payable(session, payment)
    except Conflict:
        if (known := of_message(session, payment, transfer)) is None:
            raise
        return known  # the same one was taken meanwhile
    found = ways(payment, place)
    if place is None or not found:
        raise _not_taken(payment, place)
    assert_accepted(offer, found[0])
    assert_pays(transfer, found[0])
    payee = x402_shares.payee_of(payment)
    if payee is not None and place.shares is not None:
        x402_shares.take_turn(session)
        if (known := of_message(session, payment, transfer)) is not None:
            return known
        x402_shares.assert_left(session, payee, transfer.fee_lamports, place.shares)
    row = {
        "id": uuid.uuid4(),
        "payment_id": payment.id,
        "message_hash": transfer.message_hash,
        "network": place.network,
        "payer": transfer.payer,
        "mint": transfer.mint,
        "memo": found[0].memo,
        "amount_minor": transfer.amount_minor,
        "payee": payee,
        "fee_lamports": transfer.fee_lamports,
        "raw": offer.raw,
        "blockhash": transfer.blockhash,
        "state": RECEIVED,
        "times_sent": 0,
        "created_at": clock.now(),
    }
    session.execute(insert(X402Settlement).values(row).on_conflict_do_nothing())
    made = of_message(session, payment, transfer)
    if made is None:
        raise _in_progress(session, payment)
    if made.id == row["id"]:
        outbox.write(session, TOPIC, str(made.id))
    return made


def of_message(session: Session, payment: Payment, transfer: Transfer) -> X402Settlement | None:
    """The settlement of a transaction that was handed over for this payment before; Conflict where it was for another one."""
    query = select(X402Settlement).where(X402Settlement.message_hash == transfer.message_hash)
    found = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if found is not None and found.payment_id != payment.id:
        raise Conflict("this transaction was handed over for another payment", code=payments.TRANSACTION_USED)
    return found


def _assert_payable(session: Session, payment: Payment) -> None:
    if payment.state != "open":
        raise Conflict("this was paid before", code="ALREADY_PAID")
    if payment.purpose == "job" and payment.job_id is not None and jobs.is_over(jobs.get(session, payment.job_id)):
        raise Conflict("this was withdrawn, and is not to be paid any more; ask for a new quote", code="JOB_OVER")
    if payment.expires_at < clock.now():
        raise Refused("the time to pay this is over; ask anew", code="PAYMENT_EXPIRED")
    if session.scalar(_live(payment)) is not None:
        raise _in_progress(session, payment)


def _live(payment: Payment) -> Select[uuid.UUID]:
    return select(X402Settlement.id).where(X402Settlement.payment_id == payment.id, X402Settlement.state.in_(LIVE))


def _in_progress(session: Session, payment: Payment) -> Conflict:
    signature = session.scalar(select(X402Settlement.tx_signature).where(X402Settlement.id.in_(_live(payment))))
    message = "another transaction is on its way for this payment: wait until it has landed, or can't any more"
    return Conflict(message, code="SETTLEMENT_IN_PROGRESS", details={"tx_signature": signature})


def _not_taken(payment: Payment, place: Desk | None) -> Exception:
    if payment.chain != SOLANA or (payment.mint is None and payment.purpose != "job"):
        said = f"x402 moves tokens on {SOLANA}, and this is paid in {payment.asset} on {payment.chain}: pay it by memo"
        return Unfit(said, code="unsupported_scheme")
    if place is not None and _is_too_small(payment, place):
        said = f"the hub pays the fee of {place.minimums[payment.asset]} {payment.asset} and more: pay it by memo"
        return Unfit(said, code="invalid_exact_svm_payload_amount_insufficient")
    return Unavailable("payments by x402 are not taken now; pay by memo", code="X402_NOT_TAKEN")


def signal_key(settlement_id: uuid.UUID) -> str:
    """What is signalled when a settlement is signed, refused or decided."""
    return f"x402:{settlement_id}"


def get(session: Session, settlement_id: uuid.UUID) -> X402Settlement:
    return session.get_one(X402Settlement, settlement_id)


def _lock(session: Session, settlement_id: uuid.UUID) -> X402Settlement:
    query = select(X402Settlement).where(X402Settlement.id == settlement_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def refuse(session: Session, settlement_id: uuid.UUID, code: str, message: str) -> None:
    """It was not signed, and never will be."""
    row = _lock(session, settlement_id)
    if row.state == RECEIVED:  # its bytes can't land without our signature
        row.state, row.code, row.message, row.decided_at = REFUSED, code[:100], message[:500], clock.now()
        outbox.signal(session, signal_key(row.id))


def note_signed(session: Session, settlement_id: uuid.UUID, raw: bytes, tx_signature: str, terms: Terms) -> Signing | None:
    """Store the bytes that are to be sent, once; None where that was done, or refused, before. From here on the transaction
    counts as shown for its payment."""
    row = _lock(session, settlement_id)
    if row.state != RECEIVED:
        return None
    row.raw, row.tx_signature, row.state, row.signed_at = raw, tx_signature, SIGNED, clock.now()
    row.slot, row.expires_at_height = terms.slot, terms.expires_at_height
    payments.note_shown(session, session.get_one(Payment, row.payment_id), tx_signature)
    return _signing(row)


def note_sent(session: Session, settlement_id: uuid.UUID) -> None:
    """A node was handed the bytes, whatever it said; whoever waits may look at the chain now."""
    row = _lock(session, settlement_id)
    row.times_sent += 1
    outbox.signal(session, signal_key(row.id))


def waiting(session: Session, older_than_seconds: int, limit: int = 20) -> list[uuid.UUID]:
    """Settlements that were taken a while ago and are not signed yet."""
    before = clock.now() - timedelta(seconds=older_than_seconds)
    query = select(X402Settlement.id).where(X402Settlement.state == RECEIVED, X402Settlement.created_at < before)
    return list(session.scalars(query.order_by(X402Settlement.created_at).limit(limit)))


def undecided(session: Session, limit: int = 20) -> list[Signing]:
    """Settlements that may land, or have, by lot: a heap of those that nobody can decide keeps no other waiting."""
    query = select(X402Settlement).where(X402Settlement.state == SIGNED).order_by(func.random()).limit(limit)
    return [_signing(row) for row in session.scalars(query)]


def is_signed_before(session: Session, settlement_id: uuid.UUID, moment: datetime) -> bool:
    """Whether a settlement was signed so long ago."""
    query = select(X402Settlement.id).where(X402Settlement.id == settlement_id, X402Settlement.signed_at < moment)
    return session.scalar(query) is not None


def judged(session: Session, settlement_id: uuid.UUID) -> SigningOutcome | None:
    """What became of a transaction by the verdict on it as a payment, which needs it to be final; None while there is none."""
    found = shown_id(session, get(session, settlement_id))
    shown = None if found is None else payments.get_shown(session, found)
    if shown is None or shown.code == payments.NEVER_SEEN or shown.state == "pending":
        return None
    return SigningOutcome.FAILED if shown.code == TRANSACTION_FAILED else SigningOutcome.LANDED


def forget_refused(session: Session, older_than_seconds: int) -> int:
    """Drop what was never signed, long after its block hash has expired: handed over again it would be refused again."""
    before = clock.now() - timedelta(seconds=older_than_seconds)
    old = delete(X402Settlement).where(X402Settlement.state == REFUSED, X402Settlement.decided_at < before)
    return len(session.scalars(old.returning(X402Settlement.id)).all())


def _signing(row: X402Settlement) -> Signing:
    terms = Terms(row.blockhash, row.slot, row.expires_at_height)
    return Signing(row.id, row.payer, SignedPayouts((), terms, bytes(row.raw), row.tx_signature or ""))


_STATES = {SigningOutcome.LANDED: LANDED, SigningOutcome.FAILED: FAILED, SigningOutcome.EXPIRED: EXPIRED}


def decide(session: Session, settlement_id: uuid.UUID, fate: Fate) -> uuid.UUID | None:
    """Note what the chain has made of a transaction; the one that is then to be judged as a payment, None when there is none."""
    assert fate.outcome is not None
    row = _lock(session, settlement_id)
    if row.state == SIGNED:
        row.state, row.decided_at = _STATES[fate.outcome], clock.now()
        if fate.outcome != SigningOutcome.LANDED:
            row.code, row.message = TRANSACTION_FAILED, fate.error
        outbox.signal(session, signal_key(row.id))
    return shown_id(session, row) if row.state == LANDED else None


def shown_id(session: Session, row: X402Settlement) -> uuid.UUID | None:
    """The transaction as it was shown for its payment; None before it is signed."""
    query = select(ChainTransaction.id).where(
        ChainTransaction.payment_id == row.payment_id, ChainTransaction.signature == row.tx_signature
    )
    return session.scalar(query)

