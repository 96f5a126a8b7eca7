"""What a chain shows of a transaction, without any chain's SDK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer instruction: owners' addresses, minor units; `mint` is None for SOL itself."""

    source: str
    destination: str
    amount_minor: int
    mint: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A transaction as an RPC node tells it. `changes` are balances after minus before, by (owner, mint)."""

    signature: str
    slot: int
    block_time: datetime | None
    error: str | None
    is_final: bool
    memos: tuple[str, ...]
    movements: tuple[Movement, ...]
    fee_payer: str
    changes: Mapping[tuple[str, str | None], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block that a node tells of, and its own time, in unix seconds. Solana: a final slot; TON: of the masterchain."""

    number: int
    unix_time: int
