"""Transactions signed for payouts, one undecided per wallet at a time, from stored bytes to what the chain made of them.

The wallet's row is the lock: whatever is signed, adopted or decided for a wallet happens under it, one after the other.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core.payouts import book_paid
from app.errors import Conflict, NotFound
from app.models.payouts import Payout, PayoutSigning, PayoutSigningItem, PayoutWallet
from app.values import clock
from app.values.payouts import BATCH, Fate, Order, SignedPayouts, Signing, Terms
from app.values.states import PayoutState, SigningOutcome, advance

PAID, UNPAID = "paid", "unpaid"
MAY_BE_SIGNED = (PayoutState.CREATED, PayoutState.EXPIRED)
MOST_FAILURES = 3  # transactions that landed and did not pay it: then an operator looks


@dataclass(frozen=True, slots=True)
class Batch:
    """Payouts to be signed in one transaction. `replaces`: hashes of earlier ones for them, none of which has paid or can pay."""

    orders: tuple[Order, ...]
    replaces: tuple[str, ...]


def wallets(session: Session) -> dict[str, str]:
    """The hot wallet of each chain that has one: the newest."""
    query = select(PayoutWallet.chain, PayoutWallet.address).order_by(PayoutWallet.created_at)
    return {row[0]: row[1] for row in session.execute(query)}


def ensure_wallet(session: Session, chain: str, address: str) -> None:
    """Know a hot wallet, from its first sight on."""
    row = {"chain": chain, "address": address, "created_at": clock.now()}
    session.execute(insert(PayoutWallet).values(row).on_conflict_do_nothing())


def lock_wallet(session: Session, chain: str, address: str) -> PayoutWallet:
    query = select(PayoutWallet).where(PayoutWallet.chain == chain, PayoutWallet.address == address)
    return session.scalars(query.with_for_update().execution_options(populate_existing=True)).one()


def undecided(session: Session, chain: str) -> list[Signing]:
    """Transactions of this chain that may land yet, at most one of each wallet."""
    query = select(PayoutSigning).where(PayoutSigning.chain == chain, PayoutSigning.outcome.is_(None))
    return [_signing(session, row) for row in session.scalars(query.order_by(PayoutSigning.created_at))]


def _signing(session: Session, row: PayoutSigning) -> Signing:
    orders = tuple(order_of(payout) for payout in _payouts_of(session, row.id))
    terms = Terms(row.blockhash, row.slot, row.expires_at_height, row.seqno, row.valid_until)
    return Signing(row.id, row.source, SignedPayouts(orders, terms, bytes(row.raw), row.tx_hash))


def _payouts_of(session: Session, signing_id: uuid.UUID) -> list[Payout]:
    query = select(Payout).join(PayoutSigningItem, PayoutSigningItem.payout_id == Payout.id)
    return list(session.scalars(query.where(PayoutSigningItem.signing_id == signing_id).order_by(PayoutSigningItem.ordinal)))


def order_of(payout: Payout) -> Order:
    return Order(payout.id, payout.asset, payout.amount_minor, payout.destination)


def has_work(session: Session, chain: str, source: str, read_again_seconds: int) -> bool:
    """Whether there is anything to do for a wallet: one to follow, some to sign, or a history that was not read for long."""
    wallet = lock_wallet(session, chain, source)
    due = clock.now() - timedelta(seconds=read_again_seconds)
    if wallet.read_at is None or wallet.read_at < due or has_undecided(session, chain, source):
        return True
    waiting = select(Payout.id).where(_is_waiting(chain)).limit(1)
    return wallet.halted_at is None and session.scalar(waiting) is not None


def _is_waiting(chain: str) -> ColumnElement[bool]:
    is_ours = (Payout.origin == "engine") & (Payout.chain == chain)
    return is_ours & Payout.state.in_(MAY_BE_SIGNED) & Payout.held_reason.is_(None) & Payout.look_again_at.is_(None)


def next_batch(
    session: Session, chain: str, source: str, most: int = BATCH, without: Collection[str] = ()
) -> Batch | None:
    """The oldest payouts that may be signed for this wallet now; None when there are none, or one is undecided, or it is halted.

    `without`: assets that the wallet has not enough of.

    Nothing is changed: `note_signed` checks everything again, under the wallet's lock. A payout whose transaction failed before
    goes alone, so that it cannot spoil others.
    """
    wallet = lock_wallet(session, chain, source)
    if wallet.halted_at is not None or has_undecided(session, chain, source):
        return None
    found = _oldest(session, chain, most, without)
    if found and found[0].failures:
        found = found[:1]
    picked = [payout for payout in found if payout is found[0] or not payout.failures]
    return Batch(tuple(map(order_of, picked)), replaced(session, [payout.id for payout in picked])) if picked else None


def ahead(session: Session, chain: str, most: int, without: Collection[str] = ()) -> list[Order]:
    """The oldest payouts that may be signed: the next batch, and what comes after it."""
    return [order_of(payout) for payout in _oldest(session, chain, most, without)]


def _oldest(session: Session, chain: str, most: int, without: Collection[str]) -> list[Payout]:
    query = select(Payout).where(_is_waiting(chain), Payout.asset.not_in(without))
    return list(session.scalars(query.order_by(Payout.number).limit(most)))


def replaced(session: Session, payout_ids: Sequence[uuid.UUID]) -> tuple[str, ...]:
    """Hashes of the decided transactions that were signed for these payouts."""
    query = select(PayoutSigning.tx_hash).join(PayoutSigningItem, PayoutSigningItem.signing_id == PayoutSigning.id)
    decided = query.where(PayoutSigningItem.payout_id.in_(payout_ids), PayoutSigning.outcome.is_not(None))
    return tuple(session.scalars(decided.distinct().order_by(PayoutSigning.tx_hash)))


def has_undecided(session: Session, chain: str, source: str) -> bool:
    """Whether a transaction of this wallet may land yet."""
    query = select(PayoutSigning.id).where(
        PayoutSigning.chain == chain, PayoutSigning.source == source, PayoutSigning.outcome.is_(None)
    )
    return session.scalar(query) is not None


def note_signed(session: Session, chain: str, source: str, signed: SignedPayouts) -> Signing | None:
    """Store signed bytes before they are sent. None when they must never be sent: another transaction is undecided, the wallet
    was halted, or a payout in it is held by now (the signer may remember it from a batch of before), was signed, or differs."""
    wallet = lock_wallet(session, chain, source)
    if wallet.halted_at is not None or has_undecided(session, chain, source):
        return None
    payouts = _lock_payouts(session, signed.orders)
    if payouts is None or any(payout.held_reason is not None for payout in payouts):
        return None
    return _store(session, chain, source, signed, payouts)


def may_be_signed(session: Session, orders: Sequence[Order]) -> bool:
    """Whether each of these payouts is open, in no undecided transaction, not held, and just as it was ordered."""
    payouts = _lock_payouts(session, orders)
    return payouts is not None and all(payout.held_reason is None for payout in payouts)


def _lock_payouts(session: Session, orders: Sequence[Order]) -> list[Payout] | None:
    """The orders' payouts in their order, locked by id; None unless each may be signed just so."""
    query = select(Payout).where(Payout.id.in_([order.payout_id for order in orders])).order_by(Payout.id).with_for_update()
    found = {payout.id: payout for payout in session.scalars(query.execution_options(populate_existing=True))}
    for order in orders:
        payout = found.get(order.payout_id)
        if payout is None or payout.origin != "engine" or payout.state not in MAY_BE_SIGNED or order_of(payout) != order:
            return None
    return [found[order.payout_id] for order in orders]


def _store(session: Session, chain: str, source: str, signed: SignedPayouts, payouts: Sequence[Payout]) -> Signing:
    terms = signed.terms
    row = PayoutSigning(
        id=uuid.uuid4(),
        chain=chain,
        source=source,
        raw=signed.raw,
        tx_hash=signed.tx_hash,
        blockhash=terms.blockhash,
        slot=terms.slot,
        expires_at_height=terms.expires_at_height,
        seqno=terms.seqno,
        valid_until=terms.valid_until,
    )
    session.add(row)
    session.flush()
    for ordinal, payout in enumerate(payouts):
        session.add(PayoutSigningItem(signing_id=row.id, ordinal=ordinal, payout_id=payout.id))
        payout.state = advance(PayoutState(payout.state), PayoutState.SIGNED)
        payout.signing_id, payout.source = row.id, source
        payout.tx_hash = payout.delayed_reason = payout.look_again_at = None
    return Signing(row.id, source, signed)


def note_sent(session: Session, signing_id: uuid.UUID, answer: str) -> None:
    """A node has answered to the bytes, whatever it said: the chain itself will show what came of them."""
    row = _locked(session, signing_id)
    row.times_sent, row.sent_at, row.answer = row.times_sent + 1, clock.now(), answer[:500]
    for payout in _payouts_of(session, signing_id):
        if payout.state == PayoutState.SIGNED and payout.signing_id == signing_id:
            payout.state = advance(PayoutState.SIGNED, PayoutState.SENT)


def _locked(session: Session, signing_id: uuid.UUID) -> PayoutSigning:
    """The signing under its wallet's lock."""
    row = session.get_one(PayoutSigning, signing_id)
    lock_wallet(session, row.chain, row.source)
    session.refresh(row)
    return row


def decide(session: Session, signing_id: uuid.UUID, fate: Fate) -> bool:
    """Book what the chain has made of a transaction; False when that was booked before.

    What it paid leaves the ledger. What it provably did not pay may be signed again; after three transactions that landed without
    paying it, an operator has to say so.
    """
    assert fate.outcome is not None
    row = _locked(session, signing_id)
    if row.outcome is not None:
        return False
    row.outcome, row.error, row.decided_at = fate.outcome, fate.error, clock.now()
    row.landed_hash, row.block_number, row.block_time = fate.landed_hash, fate.block_number, fate.block_time
    items = session.scalars(select(PayoutSigningItem).where(PayoutSigningItem.signing_id == signing_id))
    outcomes = {item.payout_id: item for item in items}
    for payout in sorted(_payouts_of(session, signing_id), key=lambda found: found.id):
        is_paid = payout.id in fate.paid
        outcomes[payout.id].outcome = PAID if is_paid else UNPAID
        if payout.signing_id == signing_id:
            book_paid(session, payout, fate) if is_paid else _book_unpaid(payout, fate)
    return True


def _book_unpaid(payout: Payout, fate: Fate) -> None:
    payout.state = advance(PayoutState(payout.state), PayoutState.EXPIRED)
    if fate.outcome == SigningOutcome.EXPIRED:
        return
    payout.failures += 1
    if payout.failures >= MOST_FAILURES:
        payout.held_reason = f"{payout.failures} transactions landed without paying it: {fate.error or 'no reason given'}"[:500]


def unpaid_of(session: Session, signing_id: uuid.UUID, named: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Of the payouts `named`, those that this transaction was booked as not having paid."""
    query = select(PayoutSigningItem.payout_id).where(
        PayoutSigningItem.signing_id == signing_id,
        PayoutSigningItem.payout_id.in_(named),
        PayoutSigningItem.outcome == UNPAID,
    )
    return list(session.scalars(query.order_by(PayoutSigningItem.ordinal)))


def hold_open(session: Session, payout_id: uuid.UUID, reason: str) -> None:
    """Keep a payout that may be signed from being signed until an operator has looked at it; others stay as they are."""
    query = select(Payout).where(Payout.id == payout_id, Payout.state.in_(MAY_BE_SIGNED)).with_for_update()
    payout = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if payout is not None:
        payout.held_reason = reason[:500]


def reopen(session: Session, signing_id: uuid.UUID) -> bool:
    """A transaction that was taken for expired is on the chain after all: it is undecided again. False when that can't be: its
    payouts were signed or ended otherwise meanwhile, or another transaction of the wallet is undecided."""
    row = _locked(session, signing_id)
    payouts = _payouts_of(session, signing_id)
    is_free = all(payout.state == PayoutState.EXPIRED and payout.signing_id == signing_id for payout in payouts)
    if row.outcome != SigningOutcome.EXPIRED or not is_free or has_undecided(session, row.chain, row.source):
        return False
    row.outcome = row.decided_at = row.error = None
    for payout in payouts:
        payout.state = advance(advance(PayoutState.EXPIRED, PayoutState.SIGNED), PayoutState.SENT)
        payout.delayed_reason = payout.look_again_at = None
    return True


def disown(session: Session, chain: str, tx_hash: str) -> list[Payout]:
    """An operator has seen that a transaction which only a server's word made ours never was: its payouts, held until `retry`.

    Conflict for bytes of our own, whose end only the chain decides, and for what is decided. Should the chain show it after all,
    it is followed again.
    """
    query = select(PayoutSigning).where(PayoutSigning.chain == chain, PayoutSigning.tx_hash == tx_hash)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFound("no such transaction: `lightyard payouts show` lists a payout's")
    if row.raw:
        raise Conflict("these bytes were signed here: only the chain decides what becomes of them", code="SIGNED_HERE")
    if not decide(session, row.id, Fate(SigningOutcome.EXPIRED, error="disowned: an operator says it never was")):
        raise Conflict(f"this transaction is decided: {row.outcome}", code="ALREADY_DECIDED")
    payouts = [payout for payout in _payouts_of(session, row.id) if payout.signing_id == row.id]
    for payout in payouts:
        hold_open(session, payout.id, f"its transaction {tx_hash} was disowned: sure that no explorer shows it? Then retry")
    return payouts


def adopt(session: Session, chain: str, source: str, signed: SignedPayouts) -> Signing | None:
    """Take a transaction for ours that the books do not know and the chain or the signer does: of a restored backup, for one.

    None when the books can't be the ones it was made for: then nothing is changed.
    """
    lock_wallet(session, chain, source)
    if has_undecided(session, chain, source):
        return None
    payouts = _lock_payouts(session, signed.orders)
    return None if not payouts else _store(session, chain, source, signed, payouts)
