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

    def clock(self) -> float:
        """Chain time, Unix seconds."""
        return time.time() + self.offset_seconds

    @property
    def now(self) -> int:
        return self._anchors[-1].at(self.clock())

    def unix_time(self, seqno: int) -> int:
        """When a block was made, seconds (`gen_utime`)."""
        anchor = self._anchors[max(0, bisect.bisect_right(self._anchors, seqno, key=lambda it: it.seqno) - 1)]
        return int(anchor.unix_time + (seqno - anchor.seqno) * anchor.block_ms / 1000)

    def advance(self, blocks: int, seconds: float) -> dict[str, Any]:
        """Let blocks and time pass at once; the record that brings them back after a restart."""
        seqno = self.now + blocks
        self.offset_seconds += seconds
        return self._anchor(seqno)

    def turn_back(self, seqno: int) -> dict[str, Any]:
        """A fork: `seqno` is the newest block again, now. Time does not go back."""
        self._anchors = [anchor for anchor in self._anchors if anchor.seqno <= seqno]
        return self._anchor(seqno)

    def _anchor(self, seqno: int) -> dict[str, Any]:
        self._anchors.append(Anchor(seqno, self.clock(), self.block_ms))
        return {"anchors": self._record()}

    def resume(self) -> dict[str, Any]:
        """Go on after a restart: blocks have passed since, at the pace that was set then."""
        return self._anchor(self.now)

    def restore(self, record: dict[str, Any]) -> None:
        self.offset_seconds = record["offset"]
        self._anchors = [Anchor(*entry) for entry in record["list"]]

    def _record(self) -> dict[str, Any]:
        return {"offset": self.offset_seconds, "list": [[it.seqno, it.unix_time, it.block_ms] for it in self._anchors]}


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
