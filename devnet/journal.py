"""What the chain accepted, line by line on disk: replayed after a crash, so that nothing that landed is lost."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class JournalBroken(Exception):
    """The file is not this chain's journal, or was changed; says where."""


class Journal:
    """Append-only JSON lines. A record that was cut by a kill is dropped: its sender was never answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cut_tail()
        self._file = path.open("a", encoding="utf-8")

    def _cut_tail(self) -> None:
        if self.path.exists() and (data := self.path.read_bytes()) and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

    def records(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise JournalBroken(f"{self.path}, line {number}: {error}; mend it, or start with an empty --home") from error

    def add(self, record: dict[str, Any]) -> None:
        """Hand a record to the system (a killed process keeps it; a power cut may not).

        When that fails the process ends at once: the chain must not run ahead of its journal.
        """
        try:
            self._file.write(json.dumps({**record, "time": time.time()}) + "\n")
            self._file.flush()
        except OSError as error:
            print(f"devnet: {self.path}: {error}; ending, make room and start again", file=sys.stderr, flush=True)
            os._exit(1)

    def close(self) -> None:
        self._file.close()
