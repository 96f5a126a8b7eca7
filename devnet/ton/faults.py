"""What a test may let go wrong: switched on under /dev/faults, never by itself."""

from dataclasses import dataclass, field, fields
from typing import Any

from devnet.ton.errors import ApiError, invalid

BREAKS = ("", "error", "refuse", "garbage", "html", "endless", "silence", "close")
OTHER_HASH = "A" * 43 + "="


@dataclass
class Faults:
    """Everything is off at first.

    lag_blocks: answers are that many blocks old (what is sent is still taken).
    breaks: what every call of a method in `methods` (empty: all) is answered with, `times` times (0: until switched off):
      error (HTTP 503), refuse (toncenter's own no: HTTP 429), garbage (half a JSON), html, endless (a body that does not end),
      silence (no answer until the caller gives up), close (the connection ends without one).
    after_accepting: the call is carried out first: a message is taken, and its sender does not hear so.
    lose: the next n messages are answered with ok and lost.
    hide: transactions with these hashes (base64) are left out of lists. hide_last: so are the newest n of every list.
    claim_hash: transactions are given out under this hash, whatever their own is.
    """

    lag_blocks: int = 0
    breaks: str = ""
    methods: list[str] = field(default_factory=list)
    times: int = 0
    after_accepting: bool = False
    lose: int = 0
    hide: list[str] = field(default_factory=list)
    hide_last: int = 0
    claim_hash: str = ""
    silence_seconds: float = 60.0

    def switch(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Set what is named; the rest stays. The whole state afterwards."""
        kinds = {entry.name: type(getattr(self, entry.name)) for entry in fields(self)}
        for name, value in wanted.items():
            kind = kinds.get(name)
            if kind is None:
                raise invalid(f"there is no fault {name!r}; there are {', '.join(kinds)}")
            if kind is float and isinstance(value, int):
                value = float(value)
            if type(value) is not kind or (name == "breaks" and value not in BREAKS):
                raise invalid(f"{name} can't be {value!r}" + (f": one of {', '.join(BREAKS)}" if name == "breaks" else ""))
        for name, value in wanted.items():
            setattr(self, name, value)
        return self.state()

    def clear(self) -> dict[str, Any]:
        return self.switch({entry.name: getattr(Faults(), entry.name) for entry in fields(self)})

    def state(self) -> dict[str, Any]:
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def break_of(self, method: str) -> str:
        """How this call is to fail; empty: it is not."""
        if not self.breaks or (self.methods and method not in self.methods):
            return ""
        kind = self.breaks
        if self.times:
            self.times -= 1
            if not self.times:
                self.breaks = ""
        return kind

    def takes_and_loses(self) -> bool:
        if self.lose <= 0:
            return False
        self.lose -= 1
        return True

    def told(self, transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A list of transactions as a liar gives it."""
        found = [it for it in transactions[self.hide_last :] if it["transaction_id"]["hash"] not in self.hide]
        if self.claim_hash:
            found = [it | {"transaction_id": it["transaction_id"] | {"hash": self.claim_hash}} for it in found]
        return found


def refusal(kind: str) -> ApiError:
    if kind == "refuse":
        return ApiError(429, "Ratelimit exceed")
    return ApiError(503, "the server is told to fail")
