"""What a process remembers for a moment, so that it need not ask again."""

import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ShortMemory(Generic[Value]):
    """Values by name, each for `seconds`; of more than `most` the one that nobody has asked for longest goes."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str) -> Value | None:
        """None for what was never kept, and for what is too old or was one too many."""
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                return None
            if found[0] <= time.monotonic():
                del self._kept[name]
                return None
            self._kept.move_to_end(name)
            return found[1]

    def keep(self, name: str, value: Value) -> None:
        with self._lock:
            self._kept[name] = (time.monotonic() + self._seconds, value)
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
