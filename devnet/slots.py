"""Slots, commitments and block hashes: what a cluster has and a lone SVM lacks. All of it is emulated here."""

import hashlib
import time

FINAL_SLOTS = 32
LAG_SLOTS = {"processed": 0, "confirmed": 1, "finalized": FINAL_SLOTS}
BLOCKHASH_BLOCKS = 150
FIRST_SLOT = FINAL_SLOTS + 1


class Slots:
    """One block per slot, so the block height is the slot. `slot_ms` 0: slots move only by `advance`.

    A block hash is a function of the genesis hash and its slot: it outlives a restart, and nothing needs to be kept.
    """

    def __init__(self, genesis_hash: bytes, slot_ms: int, blockhash_blocks: int = BLOCKHASH_BLOCKS) -> None:
        self._genesis_hash, self.slot_ms, self.blockhash_blocks = genesis_hash, slot_ms, blockhash_blocks
        self._base, self._started = FIRST_SLOT, time.monotonic()

    @property
    def now(self) -> int:
        return self._base + self._passed()

    def _passed(self) -> int:
        return int((time.monotonic() - self._started) * 1000 / self.slot_ms) if self.slot_ms else 0

    def at(self, commitment: str) -> int:
        """The newest slot that has reached a commitment."""
        return max(0, self.now - LAG_SLOTS[commitment])

    def advance(self, slots: int) -> int:
        self._base += slots
        return self.now

    def resume(self, slot: int, unix_time: float) -> None:
        """Go on after a restart: slots have passed since the last record, as they do on a cluster; never back."""
        missed = int(max(0.0, time.time() - unix_time) * 1000 / self.slot_ms) if self.slot_ms else 0
        self._base, self._started = max(self._base, slot + missed + 1), time.monotonic()

    def seconds_to_next(self) -> float | None:
        """Until the next slot begins; None when only `advance` makes one."""
        if not self.slot_ms:
            return None
        return (self._passed() + 1) * self.slot_ms / 1000 - (time.monotonic() - self._started)

    def commitment(self, slot: int) -> str:
        """The word for something that landed in `slot`."""
        age = self.now - slot
        return "finalized" if age >= FINAL_SLOTS else "confirmed" if age >= 1 else "processed"

    def has_reached(self, slot: int, commitment: str) -> bool:
        return self.now - slot >= LAG_SLOTS[commitment]

    def blockhash(self, slot: int) -> bytes:
        number = slot.to_bytes(8, "big")
        return hashlib.sha256(self._genesis_hash + number).digest()[:24] + number

    def last_valid_height(self, blockhash: bytes) -> int | None:
        """Up to which block height a hash is good; None for one that this chain never made."""
        slot = int.from_bytes(blockhash[24:], "big")
        return slot + self.blockhash_blocks if slot <= self.now and self.blockhash(slot) == blockhash else None

    def is_recent(self, blockhash: bytes) -> bool:
        last = self.last_valid_height(blockhash)
        return last is not None and self.now <= last
