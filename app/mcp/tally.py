"""What an agent's sessions have counted, in a file: so that one which is started anew goes on where the last one was."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import ConfigError
from app.values.money import Money


@dataclass(frozen=True, slots=True)
class Order:
    """`amount` is what it may cost at most, or what it has cost once it `is_over`."""

    amount: Money
    job_id: str | None = None
    is_over: bool = False


class Tally:
    """One file, of one session at a time: ConfigError where another one has it, or where it is of another asset."""

    def __init__(self, path: Path, asset: str) -> None:
        self._path, self._asset = path, asset
        self._lock = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT, 0o600)  # held while this process lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another session counts in {path}: end it, or name another file by --tally") from None

    def close(self) -> None:
        """Let another session have it."""
        os.close(self._lock)

    def read(self) -> dict[str, Order]:
        """What was written last; nothing of a file that is not there yet."""
        if not self._path.exists():
            return {}
        try:
            kept = json.loads(self._path.read_text())
            found = {key: Order(Money(minor, kept["asset"]), *rest) for key, (minor, *rest) in kept["orders"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{self._path} is no tally of `lightyard mcp`: move it away, and counting begins anew") from None
        if kept["asset"] != self._asset:
            raise ConfigError(f"{self._path} counts {kept['asset']}: name another file by --tally, or spend that")
        return found

    def write(self, orders: Mapping[str, Order]) -> None:
        """All of them, on the disk when this returns."""
        kept = {key: (order.amount.minor, order.job_id, order.is_over) for key, order in orders.items()}
        half = self._path.with_name(f"{self._path.name}.half")
        with half.open("w") as file:
            json.dump({"asset": self._asset, "orders": kept}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, self._path)
