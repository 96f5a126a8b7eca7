"""One local Solana: a real SVM (solders.litesvm) with the slots, commitments and history that it does not keep itself."""

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.clock import Clock
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_ID
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

FINAL_SLOTS = 32


@dataclass
class Landed:
    """A transaction on the chain, with what an RPC node tells of it."""

    raw: bytes
    transaction: VersionedTransaction
    slot: int
    block_time: int
    error: Any
    logs: list[str]
    pre: list[int]
    post: list[int]
    keys: list[Pubkey] = field(default_factory=list)


class Refused(Exception):
    """The preflight's no, with the program's logs."""

    def __init__(self, error: str, logs: list[str]) -> None:
        super().__init__(error)
        self.logs = logs


class Chain:
    """Thread-safe. `slot_ms` 0: slots move only by `advance`. `journal` replays accepted requests after a crash."""

    def __init__(self, slot_ms: int, journal: Path | None = None) -> None:
        self.svm, self.lock = LiteSVM(), threading.RLock()
        self.landed: dict[str, Landed] = {}
        self._slot_ms, self._started, self._base_slot = slot_ms, time.monotonic(), FINAL_SLOTS + 1
        self._journal = None
        if journal is not None:
            self._replay(journal)
            self._journal = journal.open("a", encoding="utf-8")

    @property
    def slot(self) -> int:
        passed = int((time.monotonic() - self._started) * 1000 / self._slot_ms) if self._slot_ms else 0
        return self._base_slot + passed

    def advance(self, slots: int) -> int:
        with self.lock:
            self._base_slot += slots
            return self.slot

    def commitment(self, landed: Landed) -> str:
        age = self.slot - landed.slot
        return "finalized" if age >= FINAL_SLOTS else "confirmed" if age >= 1 else "processed"

    def airdrop(self, address: Pubkey, lamports: int) -> None:
        """Test money out of nothing (the SVM's own faucet is finite)."""
        with self.lock:
            held = self.svm.get_balance(address) or 0
            self.svm.set_account(address, Account(held + lamports, b"", SYSTEM_ID))
            self._note({"airdrop": str(address), "lamports": lamports})

    def send(self, raw: bytes, skip_preflight: bool, block_time: int | None = None, slot: int | None = None) -> str:
        """Run a transaction; the same bytes again are answered with the same signature."""
        transaction = VersionedTransaction.from_bytes(raw)
        signature = str(transaction.signatures[0])
        with self.lock:
            if signature in self.landed:
                return signature
            clock = self.svm.get_clock()
            at = block_time or int(time.time())
            self.svm.set_clock(Clock(self.slot, clock.epoch_start_timestamp, clock.epoch, clock.leader_schedule_epoch, at))
            keys = list(transaction.message.account_keys)
            pre = [self.svm.get_balance(key) or 0 for key in keys]
            if not skip_preflight:
                trial = self.svm.simulate_transaction(transaction)
                if isinstance(trial, FailedTransactionMetadata):
                    raise Refused(str(trial.err()), trial.meta().logs())
            result = self.svm.send_transaction(transaction)
            failed = isinstance(result, FailedTransactionMetadata)
            logs = result.meta().logs() if failed else result.logs()
            error = str(result.err()) if failed else None
            post = [self.svm.get_balance(key) or 0 for key in keys]
            if failed and not logs:
                raise Refused(error or "refused", logs)  # never ran (signature, block hash): it is not on the chain
            landed_slot = self.slot if slot is None else slot
            self.landed[signature] = Landed(raw, transaction, landed_slot, at, error, logs, pre, post, keys)
            self._note({"send": raw.hex(), "skip": skip_preflight, "time": at, "slot": landed_slot})
            return signature

    def _note(self, record: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(record) + "\n")
            self._journal.flush()

    def _replay(self, journal: Path) -> None:
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the last line of a killed process may be cut
            if "airdrop" in record:
                self.airdrop(Pubkey.from_string(record["airdrop"]), record["lamports"])
            else:
                self._base_slot = max(self._base_slot, record["slot"] + 1)
                self.send(bytes.fromhex(record["send"]), record["skip"], record["time"], record["slot"])
