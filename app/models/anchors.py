"""Trees over ledger entries, and the transactions that anchor their roots on an EVM chain."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Moment, Str


class AnchorBatch(Base):
    """One tree: the entries `first_number` to `last_number`, each entry in one tree only.

    `leaves` keeps the text of each leaf, a line each, so that a row that was changed afterwards can be named. What is anchored
    never changes; the transaction's side does: `state` is an AnchorState, `nonce` the sender's that its attempts share,
    `tx_hash` and `block_number` are of the attempt that landed, whichever that was.
    """

    __tablename__ = "anchor_batches"
    __table_args__ = (
        CheckConstraint("last_number = first_number + tree_size - 1 AND tree_size > 0", name="whole"),
        UniqueConstraint("first_number"),
        UniqueConstraint("last_number"),
        UniqueConstraint("chain_id", "sender", "nonce"),
        Index("ix_anchor_batches_unfinished", "number", postgresql_where=text("state <> 'final'")),
    )

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first_number: Mapped[int] = mapped_column(BigInteger)
    last_number: Mapped[int] = mapped_column(BigInteger)
    tree_size: Mapped[int]
    root: Mapped[bytes] = mapped_column(LargeBinary)
    leaves: Mapped[Str] = mapped_column(deferred=True)
    created_at: Mapped[Created] = mapped_column(index=True)
    state: Mapped[Str] = mapped_column(default="built")
    chain_id: Mapped[int | None] = mapped_column(BigInteger)
    sender: Mapped[Str | None]
    nonce: Mapped[int | None] = mapped_column(BigInteger)
    tx_hash: Mapped[Str | None]
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    block_hash: Mapped[Str | None]
    confirmed_at: Mapped[Moment | None]
    finalized_at: Mapped[Moment | None]
    reorgs: Mapped[int] = mapped_column(default=0)


class AnchorAttempt(Base):
    """Signed bytes for a batch, stored before they were ever sent and kept for good: any of them may be the one that lands."""

    __tablename__ = "anchor_attempts"
    __table_args__ = (UniqueConstraint("chain_id", "tx_hash"),)

    batch_number: Mapped[int] = mapped_column(ForeignKey("anchor_batches.number"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chain_id: Mapped[int] = mapped_column(BigInteger)
    sender: Mapped[Str]
    nonce: Mapped[int] = mapped_column(BigInteger)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    tx_hash: Mapped[Str]
    most_fee_wei: Mapped[int] = mapped_column(BigInteger)
    priority_fee_wei: Mapped[int] = mapped_column(BigInteger)
    signed_at: Mapped[Created]
    times_sent: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[Moment | None]
    answer: Mapped[Str | None]
