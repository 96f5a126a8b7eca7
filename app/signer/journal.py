"""What was signed, on the signer's own disk: a line each, synced before anybody is answered, never changed."""

import json
import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

DAY_SECONDS = 86_400
FEES = "fees"  # the name under which `spent` counts what was signed for fees


class Journal:
    """`newest` finds what was last signed for a payout, `spent` how much of an asset, or for FEES, was signed for in 24 hours."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.is_new = not path.exists()
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b")
        self._places: dict[str, int] = {}
        self._fees = set[str]()
        self._spent: dict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._read()

    def _read(self) -> None:
        """A last line that a power cut has torn was never answered for: it is cut off."""
        place = 0
        for line in self._file:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if record is None:
                break
            self._index(record, place)
            place += len(line)
        if self._file.seek(0, os.SEEK_END) != place:
            if b"\n" in self._rest(place)[:-1]:
                raise RuntimeError(f"the signer's journal is damaged at byte {place}: restore it before anything is signed")
            self._file.truncate(place)
            os.fsync(self._file.fileno())

    def _rest(self, place: int) -> bytes:
        self._file.seek(place)
        return self._file.read()

    def _index(self, record: dict[str, Any], place: int) -> None:
        if "fee" in record:
            self._fees.add(record["fee"]["message_hash"])
            self._spent[FEES].append((record["at"], record["fee"]["lamports"]))
        for order in record["orders"]:
            self._places[order["payout_id"]] = place
            self._spent[order["asset"]].append((record["at"], order["amount_minor"]))

    def append(self, record: dict[str, Any]) -> None:
        """Written and synced when this returns."""
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._index(record, place)

    def newest(self, payout_id: str) -> dict[str, Any] | None:
        """The record of what was last signed for a payout."""
        place = self._places.get(payout_id)
        if place is None:
            return None
        self._file.seek(place)
        record: dict[str, Any] = json.loads(self._file.readline())
        return record

    def has_fee(self, message_hash: str) -> bool:
        """Whether a fee was signed for under this message before."""
        return message_hash in self._fees

    def spent(self, asset: str, now: float) -> int:
        """Minor units signed for in the last 24 hours; what was signed twice counts twice."""
        rows = self._spent[asset]
        while rows and rows[0][0] <= now - DAY_SECONDS:
            rows.popleft()
        return sum(amount for _, amount in rows)
