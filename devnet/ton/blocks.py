"""Blocks that pass with time: what a network of validators has and a lone TVM lacks. All of it is emulated here."""

import base64
import bisect
import hashlib
import time
from dataclasses import dataclass
from typing import Any

FIRST_SEQNO = 1
LT_PER_BLOCK = 1_000_000
SHARD = str(-(2**63))


@dataclass(frozen=True)
class Anchor:
    """From block `seqno` on, made at `unix_time`, a block comes every `block_ms` (0: none by itself)."""

    seqno: int
    unix_time: float
    block_ms: int

    def at(self, unix_time: float) -> int:
        passed = int(max(0.0, unix_time - self.unix_time) * 1000 / self.block_ms) if self.block_ms else 0
        return self.seqno + passed


class Blocks:
    """One masterchain and one workchain block share each number. Time may be shifted forward for tests, never back."""

    def __init__(self, block_ms: int) -> None:
        self.block_ms, self.offset_seconds = block_ms, 0.0
        self._anchors = [Anchor(FIRST_SEQNO, self.clock(), block_ms)]
        self._is_restored = False

    def clock(self) -> float:
        """Chain time, Unix seconds."""
        return time.time() + self.offset_seconds

    @property
    def now(self) -> int:
        return self._anchors[-1].at(self.clock())

    def unix_time(self, seqno: int) -> int:
        """When a block was made, seconds (`gen_utime`)."""
        return int(self._time(seqno))

    def _time(self, seqno: int) -> float:
        """By the first anchor at a block, which is when it was made; a later one there is when time went on from it."""
        place = bisect.bisect_left(self._anchors, seqno, key=lambda anchor: anchor.seqno)
        is_anchored = place < len(self._anchors) and self._anchors[place].seqno == seqno
        anchor = self._anchors[place if is_anchored else max(0, place - 1)]
        return anchor.unix_time + (seqno - anchor.seqno) * anchor.block_ms / 1000

    def advance(self, blocks: int, seconds: float) -> dict[str, Any]:
        """Let one or more blocks, and time, pass at once; the record that brings them back after a restart."""
        seqno = self.now + blocks
        self.offset_seconds += seconds
        return self._go_on([Anchor(seqno, self.clock(), self.block_ms)])

    def turn_back(self, seqno: int) -> dict[str, Any]:
        """A fork: `seqno` is the newest block again, now. Time does not go back."""
        return self._go_on([Anchor(seqno, self._time(seqno), self.block_ms), Anchor(seqno, self.clock(), self.block_ms)])

    def resume(self) -> dict[str, Any] | None:
        """Go on after a restart: blocks have passed since, at the pace set then. A record if there is something new."""
        if not self._is_restored:
            return self._go_on(self._anchors)
        return None if self._anchors[-1].block_ms == self.block_ms else self.turn_back(self.now)

    def restore(self, record: dict[str, Any]) -> None:
        """Take a record back in; the first one says when the chain began."""
        self._anchors = self._anchors if self._is_restored else []
        self.offset_seconds, self._is_restored = record["offset"], True
        self._go_on([Anchor(*entry) for entry in record["anchors"]])

    def _go_on(self, anchors: list[Anchor]) -> dict[str, Any]:
        first = anchors[0]
        self._anchors = [anchor for anchor in self._anchors if anchor.seqno <= first.seqno and anchor not in anchors] + anchors
        return {"anchors": [[it.seqno, it.unix_time, it.block_ms] for it in anchors], "offset": self.offset_seconds}


def block_hash(seqno: int, workchain: int, kind: str) -> str:
    """Emulated: there is no block, so nothing can be proven against it."""
    return base64.b64encode(hashlib.sha256(f"lightyard devnet {kind} {workchain}:{seqno}".encode()).digest()).decode()


def block_id(seqno: int, workchain: int = -1) -> dict[str, Any]:
    return {
        "@type": "ton.blockIdExt",
        "workchain": workchain,
        "shard": SHARD,
        "seqno": seqno,
        "root_hash": block_hash(seqno, workchain, "root"),
        "file_hash": block_hash(seqno, workchain, "file"),
    }
