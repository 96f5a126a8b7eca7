"""The books of payouts held against the chains and the ledger: every transaction that left a wallet has its payout, and every
payout that counts as paid has its transaction. What does not fit is a difference; one by which money may leave twice halts the
wallet.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import payout_signings, payouts
from app.errors import NotFound, Refused
from app.models.payouts import Payout, PayoutDifference, PayoutSigning, PayoutWallet
from app.values import clock
from app.values.payouts import Fate, Order, Outgoing, SignedPayouts, Terms, read_id
from app.values.states import SigningOutcome

UNRECORDED, MISSING, TWICE, AMOUNT = "unrecorded", "missing", "twice", "amount"
HALTING = (UNRECORDED, TWICE)
UNSEEN_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one outgoing transaction led to: known, adopted (now to be followed as undecided), a difference, or busy:
    it can't be told while another transaction of the wallet is undecided."""

    is_known: bool = False
    is_busy: bool = False
    adopted: uuid.UUID | None = None
    difference: str | None = None


def cursor(session: Session, chain: str, source: str) -> str | None:
    """How far the wallet's history was read."""
    return session.scalar(select(PayoutWallet.cursor).where(PayoutWallet.chain == chain, PayoutWallet.address == source))


def move(session: Session, chain: str, source: str, place: str | None) -> None:
    """The wallet's history was read up to `place`."""
    wallet = payout_signings.lock_wallet(session, chain, source)
    wallet.cursor, wallet.read_at = place or wallet.cursor, clock.now()


def match(session: Session, chain: str, source: str, found: Outgoing) -> Finding:
    """Find the payouts that a final transaction paid, and note what of it the books do not know."""
    payout_signings.lock_wallet(session, chain, source)
    query = select(PayoutSigning).where(PayoutSigning.chain == chain, PayoutSigning.tx_hash == found.tx_hash)
    row = session.scalars(query.with_for_update()).one_or_none()
    if row is not None:
        return _known(session, row, found)
    if payout_signings.has_undecided(session, chain, source):
        return Finding(is_busy=True)
    orders = _orders(session, found)
    if orders is not None:
        signed = SignedPayouts(orders, Terms(), b"", found.tx_hash)
        adopted = payout_signings.adopt(session, chain, source, signed)
        if adopted is not None:
            return Finding(adopted=adopted.id)
    return _unrecorded(session, chain, source, found)


def _known(session: Session, row: PayoutSigning, found: Outgoing) -> Finding:
    if row.seen_at is None:
        row.seen_at = clock.now()
    named = [payout_id for part in found.parts if (payout_id := read_id(part.memo)) is not None]
    unpaid = payout_signings.unpaid_of(session, row.id, named)
    if row.outcome != SigningOutcome.EXPIRED and not unpaid:
        return Finding(is_known=True)
    if row.outcome == SigningOutcome.EXPIRED:
        if payout_signings.has_undecided(session, row.chain, row.source):
            return Finding(is_busy=True)
        if payout_signings.reopen(session, row.id):
            return Finding(adopted=row.id)
    detail = f"taken for {row.outcome}, and on the chain: {', '.join(map(str, found.parts))}"
    first = unpaid[0] if unpaid else None
    is_new = note(session, row.chain, row.source, TWICE, f"{row.chain}:{found.tx_hash}", found.landed_hash, first, detail)
    return _halted(session, row.chain, row.source, detail, found.landed_hash, unpaid, is_new)


def _halted(
    session: Session, chain: str, source: str, detail: str, tx_hash: str, paid: Sequence[uuid.UUID], is_new: bool
) -> Finding:
    """Halt for what was found just now, and hold what it may have paid: to acknowledge it must not be to pay that again."""
    if not is_new:
        return Finding(is_known=True, difference=detail)
    for payout_id in paid:
        payout_signings.hold_open(session, payout_id, f"the chain shows a payment of it, {tx_hash}: book it, or retry")
    return Finding(difference=halt(session, chain, source, detail))


def _orders(session: Session, found: Outgoing) -> tuple[Order, ...] | None:
    """The payouts that the parts name, if all of it is payouts of ours, just as they were ordered."""
    if found.stray is not None or not found.parts:
        return None
    orders = []
    for part in found.parts:
        payout_id = read_id(part.memo)
        payout = None if payout_id is None else session.get(Payout, payout_id)
        if payout is None or (payout.asset, payout.amount_minor, payout.destination) != (
            part.asset,
            part.amount_minor,
            part.destination,
        ):
            return None
        orders.append(Order(payout.id, payout.asset, payout.amount_minor, payout.destination))
    return tuple(orders)


def _unrecorded(session: Session, chain: str, source: str, found: Outgoing) -> Finding:
    named = [payout_id for part in found.parts if (payout_id := read_id(part.memo)) is not None]
    known = list(session.scalars(select(Payout.id).where(Payout.id.in_(named)).order_by(Payout.number)))
    told = [*map(str, found.parts), *([found.stray] if found.stray else [])]
    detail = f"left {source} and is not in the books: {', '.join(told)}"
    kind, first = (TWICE, known[0]) if known else (UNRECORDED, None)
    is_new = note(session, chain, source, kind, f"{chain}:{found.tx_hash}", found.landed_hash, first, detail)
    return _halted(session, chain, source, detail, found.landed_hash, known, is_new)


def halt(session: Session, chain: str, source: str, reason: str) -> str:
    """Sign nothing more for a wallet until an operator has acknowledged what differs."""
    wallet = payout_signings.lock_wallet(session, chain, source)
    if wallet.halted_at is None:
        wallet.halted_at, wallet.halted_reason = clock.now(), reason[:500]
    return reason


def note(
    session: Session, chain: str, source: str, kind: str, key: str, tx_hash: str | None, payout: uuid.UUID | None, detail: str
) -> bool:
    """Write a difference down, once for its kind and key; True if it is new."""
    row = {
        "id": uuid.uuid4(),
        "chain": chain,
        "source": source,
        "kind": kind,
        "reference": f"{kind}:{key}",
        "tx_hash": tx_hash,
        "payout_id": payout,
        "detail": detail[:2000],
        "found_at": clock.now(),
    }
    statement = insert(PayoutDifference).values(row).on_conflict_do_nothing(index_elements=["reference"])
    return session.scalar(statement.returning(PayoutDifference.id)) is not None


def forget_seen(session: Session, chain: str, source: str) -> None:
    """The wallet's history is another one than was read: everything in it has to be seen again."""
    wallet = payout_signings.lock_wallet(session, chain, source)
    wallet.cursor = None
    mine = (PayoutSigning.chain == chain) & (PayoutSigning.source == source)
    session.execute(update(PayoutSigning).where(mine).values(seen_at=None))


def note_unseen(session: Session, chain: str, source: str, read_until: datetime) -> int:
    """Note payouts that count as paid by transactions which the wallet's history, read to the end since, does not show."""
    since = read_until - timedelta(seconds=UNSEEN_SECONDS)
    query = select(PayoutSigning).where(
        PayoutSigning.chain == chain,
        PayoutSigning.source == source,
        PayoutSigning.outcome == SigningOutcome.LANDED,
        PayoutSigning.seen_at.is_(None),
        PayoutSigning.decided_at < since,
    )
    noted = 0
    for row in session.scalars(query.limit(100)):
        payout = session.scalar(select(Payout.id).where(Payout.signing_id == row.id).limit(1))
        detail = f"booked as paid by {row.landed_hash or row.tx_hash}, which {source}'s history does not show"
        noted += note(session, chain, source, MISSING, f"{chain}:{row.tx_hash}", row.landed_hash, payout, detail)
    return noted


_LEDGER = {
    "a payout that counts as paid has not left the ledger, or with another amount": """
        SELECT p.id FROM payouts p LEFT JOIN transfers t ON t.reference = 'payout:' || p.id || ':' || 'paid'
        WHERE p.origin = 'engine' AND p.state = 'confirmed'
            AND (t.id IS NULL OR t.amount_minor <> p.amount_minor OR t.asset <> p.asset)""",
    "a payout left the ledger and does not count as paid": """
        SELECT p.id FROM payouts p JOIN transfers t ON t.reference = 'payout:' || p.id || ':' || 'paid'
        WHERE p.state <> 'confirmed'""",
    "what an account has on its way out is not the sum of its open payouts": """
        SELECT coalesce(l.owner_id, o.account_id) FROM
            (SELECT owner_id, asset, balance_minor FROM ledger_accounts WHERE kind = 'payout' AND balance_minor <> 0) l
            FULL JOIN (SELECT account_id, asset, sum(amount_minor) AS minor FROM payouts
                WHERE origin = 'engine' AND state IN ('created', 'signed', 'sent', 'expired') GROUP BY account_id, asset) o
            ON o.account_id = l.owner_id AND o.asset = l.asset
        WHERE coalesce(l.balance_minor, 0) <> coalesce(o.minor, 0)""",
}


def ledger_differences(session: Session) -> list[str]:
    """Every way in which the payouts and the ledger disagree; empty is the invariant. It reads every payout."""
    session.execute(text("SET LOCAL statement_timeout = 0"))
    return [f"{name}: {row[0]}" for name, sql in _LEDGER.items() for row in session.execute(text(sql))]


def differences(session: Session, with_acknowledged: bool = False, limit: int = 1000) -> list[PayoutDifference]:
    """What the books and the chains do not agree on, the newest first."""
    query = select(PayoutDifference).order_by(PayoutDifference.found_at.desc()).limit(limit)
    if not with_acknowledged:
        query = query.where(PayoutDifference.acknowledged_at.is_(None))
    return list(session.scalars(query))


def book(session: Session, difference_id: uuid.UUID, payout_id: uuid.UUID) -> Payout:
    """Book a payout as paid by a difference's transaction, as an operator has seen it on the chain; to acknowledge the difference
    is another step, for its transaction may name more. NotFound for an unknown difference."""
    found = session.get(PayoutDifference, difference_id)
    payout = session.get(Payout, payout_id)
    if found is None or payout is None or found.tx_hash is None:
        raise NotFound("no such difference with a transaction, or no such payout: see `lightyard payouts differences`")
    if payout.chain != found.chain:
        raise Refused(f"the payout is on {payout.chain}, the difference on {found.chain}", code="CHAIN_DIFFERS")
    paid = frozenset([payout_id])
    fate = Fate(SigningOutcome.LANDED, True, paid, None, found.tx_hash, None, found.found_at)
    return payouts.book(session, payout_id, fate)


def acknowledge(session: Session, difference_id: uuid.UUID, by: str) -> bool:
    """An operator has looked into a difference; True when its wallet may sign again, no other being open."""
    statement = update(PayoutDifference).where(
        PayoutDifference.id == difference_id, PayoutDifference.acknowledged_at.is_(None)
    )
    row = session.execute(
        statement.values(acknowledged_at=clock.now(), acknowledged_by=by).returning(
            PayoutDifference.chain, PayoutDifference.source
        )
    ).one_or_none()
    if row is None:
        raise NotFound("no such open difference: see `lightyard payouts differences`")
    is_open = PayoutDifference.acknowledged_at.is_(None) & PayoutDifference.kind.in_(HALTING)
    same = (PayoutDifference.chain == row.chain) & (PayoutDifference.source == row.source)
    if session.scalar(select(func.count()).select_from(PayoutDifference).where(same, is_open)):
        return False
    mine = (PayoutWallet.chain == row.chain) & (PayoutWallet.address == row.source)
    session.execute(update(PayoutWallet).where(mine).values(halted_at=None, halted_reason=None))
    return True


def wallets(session: Session) -> list[PayoutWallet]:
    """Every hot wallet that was ever used."""
    return list(session.scalars(select(PayoutWallet).order_by(PayoutWallet.chain, PayoutWallet.address)))
