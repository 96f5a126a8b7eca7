"""Trees over the ledger's numbered entries, and the states of the transactions that anchor their roots.

Trees are built from entries that are committed and numbered long since; no posting ever waits for a lock taken here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, not_, select, text, true
from sqlalchemy.orm import Session

from app.core import ledger_leaves
from app.models.anchors import AnchorAttempt, AnchorBatch
from app.values import clock, ledger_leaf, merkle
from app.values.anchoring import Fees, Landing, SignedAnchor
from app.values.states import AnchorState, advance

IN_FLIGHT = 64
NONCES = "SELECT pg_advisory_xact_lock(hashtext('anchor_nonces'))"
ONE_BUILDER = "SELECT pg_advisory_xact_lock(hashtext('anchor_batches'))"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a tree is built: `enough` entries wait, or the oldest waits for `seconds`; it takes `most` at once."""

    enough: int
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One stored attempt."""

    ordinal: int
    raw: bytes
    tx_hash: str
    fees: Fees
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch on its way to the chain; `attempts` on that chain, the newest first; `newest_ordinal` is 0 before any."""

    number: int
    state: AnchorState
    root: bytes
    tree_size: int
    chain_id: int | None
    sender: str | None
    nonce: int | None
    tx_hash: str | None
    block: Landing | None
    attempts: tuple[Sent, ...]
    newest_ordinal: int


def build_next(session: Session, rules: Rules) -> int | None:
    """Build the next tree if it is time for one; returns its size. One builder at a time, others wait for it."""
    session.execute(text(ONE_BUILDER))
    last = session.execute(
        select(AnchorBatch.number, AnchorBatch.last_number).order_by(AnchorBatch.number.desc()).limit(1)
    ).one_or_none()
    number, after = (last.number + 1, last.last_number) if last else (1, 0)
    leaves = ledger_leaves.read(session, after + 1, after + rules.most)
    if not leaves or not _is_time(leaves, rules):
        return None
    texts = [leaf.text for leaf in leaves]
    batch = AnchorBatch(
        number=number,
        first_number=leaves[0].number,
        last_number=leaves[-1].number,
        tree_size=len(leaves),
        root=merkle.root([ledger_leaf.hash_text(line) for line in texts]),
        leaves="\n".join(texts),
    )
    if batch.first_number != after + 1:
        raise RuntimeError(f"the entry after {after} has the number {batch.first_number}: numbers must have no gap")
    session.add(batch)
    session.flush()
    return batch.tree_size


def _is_time(leaves: Sequence[ledger_leaf.Leaf], rules: Rules) -> bool:
    due = clock.now() - timedelta(seconds=rules.seconds)
    return len(leaves) >= rules.enough or any(leaf.created_at is None or leaf.created_at <= due for leaf in leaves)


def unfinished(session: Session, chain_id: int, limit: int = IN_FLIGHT) -> list[Anchor]:
    """Batches whose transaction is not final, in their order, which is that of their nonces.

    What is in a block of another chain than this one stays as it is known there.
    """
    stays = (AnchorBatch.state == AnchorState.CONFIRMED) & (AnchorBatch.chain_id != chain_id)
    query = select(AnchorBatch).where(AnchorBatch.state != AnchorState.FINAL, not_(stays))
    batches = list(session.scalars(query.order_by(AnchorBatch.number).limit(limit)))
    stored = select(AnchorAttempt).where(AnchorAttempt.batch_number.in_([batch.number for batch in batches]))
    attempts: dict[int, list[AnchorAttempt]] = {}
    for attempt in session.scalars(stored.order_by(AnchorAttempt.ordinal.desc())):
        attempts.setdefault(attempt.batch_number, []).append(attempt)
    return [_anchor(batch, attempts.get(batch.number, [])) for batch in batches]


def _anchor(batch: AnchorBatch, attempts: Sequence[AnchorAttempt]) -> Anchor:
    has_block = batch.block_number is not None and batch.block_hash is not None
    block = Landing(batch.block_number, batch.block_hash) if has_block else None  # type: ignore[arg-type]
    sent = tuple(
        Sent(row.ordinal, row.raw, row.tx_hash, Fees(row.most_fee_wei, row.priority_fee_wei), row.signed_at)
        for row in attempts
        if row.chain_id == batch.chain_id
    )
    return Anchor(
        number=batch.number,
        state=AnchorState(batch.state),
        root=bytes(batch.root),
        tree_size=batch.tree_size,
        chain_id=batch.chain_id,
        sender=batch.sender,
        nonce=batch.nonce,
        tx_hash=batch.tx_hash,
        block=block,
        attempts=sent,
        newest_ordinal=attempts[0].ordinal if attempts else 0,
    )


def reserve_nonce(session: Session, number: int, chain_id: int, sender: str, first_free: int) -> int | None:
    """The nonce that a batch's transaction is to have: the lowest from `first_free` on that no other batch has.

    A batch keeps the one it has. None when the batch needs none any more: another sweep has signed it.
    """
    session.execute(text(NONCES))
    batch = _locked(session, number)
    if batch.state != AnchorState.BUILT:
        return None
    if (batch.chain_id, batch.sender) == (chain_id, sender) and batch.nonce is not None:
        return batch.nonce
    taken = set(
        session.scalars(
            select(AnchorBatch.nonce).where(
                AnchorBatch.chain_id == chain_id, AnchorBatch.sender == sender, AnchorBatch.nonce >= first_free
            )
        )
    )
    nonce = first_free
    while nonce in taken:
        nonce += 1
    batch.chain_id, batch.sender, batch.nonce = chain_id, sender, nonce
    return nonce


def note_signed(session: Session, number: int, nonce: int, signed: SignedAnchor, replaces: int) -> bool:
    """Store the bytes before they are sent. `replaces` is the newest attempt when they were made, 0 for none.

    False when another sweep was first: then these bytes must never be sent.
    """
    batch = _locked(session, number)
    newest = session.scalar(select(func.max(AnchorAttempt.ordinal)).where(AnchorAttempt.batch_number == number)) or 0
    if batch.state not in (AnchorState.BUILT, AnchorState.SENT) or (batch.nonce, newest) != (nonce, replaces):
        return False
    batch.state = advance(AnchorState(batch.state), AnchorState.SIGNED)
    session.add(
        AnchorAttempt(
            batch_number=number,
            ordinal=newest + 1,
            chain_id=batch.chain_id,
            sender=batch.sender,
            nonce=nonce,
            raw=signed.raw,
            tx_hash=signed.tx_hash,
            most_fee_wei=signed.fees.most,
            priority_fee_wei=signed.fees.priority,
        )
    )
    return True


def note_sent(session: Session, number: int, ordinal: int, answer: str) -> None:
    """A node has answered to an attempt's bytes, whatever it said: the chain itself will show what came of it."""
    batch = _locked(session, number)
    attempt = session.get_one(AnchorAttempt, (number, ordinal))
    attempt.times_sent, attempt.sent_at, attempt.answer = attempt.times_sent + 1, clock.now(), answer[:500]
    if batch.state == AnchorState.SIGNED:
        batch.state = advance(AnchorState.SIGNED, AnchorState.SENT)


def note_landed(session: Session, number: int, tx_hash: str, block: Landing) -> None:
    """An attempt is in a block, or in another block than before."""
    batch = _locked(session, number)
    if batch.state == AnchorState.SENT:
        batch.state, batch.confirmed_at = advance(AnchorState.SENT, AnchorState.CONFIRMED), clock.now()
    elif batch.state != AnchorState.CONFIRMED:
        return
    batch.tx_hash, batch.block_number, batch.block_hash = tx_hash, block.block_number, block.block_hash


def note_final(session: Session, number: int, tx_hash: str, block: Landing) -> bool:
    """The block that we know of is deep enough; False if that is not the block any more."""
    batch = _locked(session, number)
    known = (batch.state, batch.tx_hash, batch.block_hash)
    if known != (AnchorState.CONFIRMED, tx_hash, block.block_hash):
        return False
    batch.state, batch.finalized_at = advance(AnchorState.CONFIRMED, AnchorState.FINAL), clock.now()
    return True


def note_gone(session: Session, number: int, tx_hash: str) -> bool:
    """The block with the transaction is not on the chain any more: it is looked for, and sent, again."""
    batch = _locked(session, number)
    if batch.state not in (AnchorState.CONFIRMED, AnchorState.FINAL) or batch.tx_hash != tx_hash:
        return False
    batch.state = advance(AnchorState(batch.state), AnchorState.SENT)
    batch.tx_hash = batch.block_number = batch.block_hash = batch.confirmed_at = batch.finalized_at = None
    batch.reorgs += 1
    return True


def start_over(session: Session, number: int, nonce: int | None) -> None:
    """The nonce is spent on a transaction that is not ours, or the chain is another one: a new nonce is needed."""
    batch = _locked(session, number)
    if batch.nonce == nonce and batch.state in (AnchorState.SIGNED, AnchorState.SENT):
        batch.state = advance(AnchorState(batch.state), AnchorState.BUILT)
        batch.nonce = None


def forgotten(session: Session, chain_id: int, sender: str, mined_nonce: int) -> list[tuple[int, str]]:
    """Final batches whose nonce the chain takes for unused, the lowest first: it has forgotten their transactions."""
    query = select(AnchorBatch.number, AnchorBatch.tx_hash).where(
        AnchorBatch.state == AnchorState.FINAL,
        AnchorBatch.chain_id == chain_id,
        AnchorBatch.sender == sender,
        AnchorBatch.nonce >= mined_nonce,
    )
    return [(row[0], str(row[1])) for row in session.execute(query.order_by(AnchorBatch.nonce).limit(IN_FLIGHT))]


def _locked(session: Session, number: int) -> AnchorBatch:
    query = select(AnchorBatch).where(AnchorBatch.number == number).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def page(session: Session, limit: int, offset: int, since: datetime | None = None) -> tuple[list[AnchorBatch], int]:
    """Anchors, the newest first, and how many there are in all."""
    is_meant = true() if since is None else AnchorBatch.created_at >= since
    rows = session.scalars(
        select(AnchorBatch).where(is_meant).order_by(AnchorBatch.number.desc()).limit(limit).offset(offset)
    )
    return list(rows), int(session.scalar(select(func.count()).select_from(AnchorBatch).where(is_meant)) or 0)
