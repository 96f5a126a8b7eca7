"""What the hub asks of TON, over whichever transport: toncenter v2 over HTTP, or liteservers."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.values.ton_address import TonAddress
from app.values.ton_chain import ChainMoment, TonAccount, TonTransaction

StackEntry = int | TonAddress | bytes
"""What a get-method takes: a number, an address (as a slice), or a cell's bag of cells."""


class TonGateway(Protocol):
    """No answer, an error or nonsense is ChainUnavailable (ChainUnreadable when a node did answer): unknown, never failed."""

    @property
    def is_configured(self) -> bool: ...

    def now(self) -> ChainMoment: ...

    def account(self, address: TonAddress) -> TonAccount: ...

    def wallet_seqno(self, address: TonAddress) -> int | None:
        """The wallet's next sequence number; None while the address has no code, so that its first message must bring it."""

    def transactions(
        self, address: TonAddress, limit: int, lt: int | None = None, hash: str | None = None, to_lt: int | None = None
    ) -> list[TonTransaction]:
        """The account's transactions, newest first, from (lt, hash) on, that one included, or from its last one.

        Those at and before `to_lt` are left out. Each was read from its own cells, and its hash was checked; the links from one
        to the next were checked too.
        """

    def send(self, boc: bytes) -> None:
        """Hand over an external message. A normal return means taken, not executed; ChainUnavailable: it may have been."""

    def run_get_method(self, address: TonAddress, name: str, stack: Sequence[StackEntry] = ()) -> list[Any]:
        """The stack that the method leaves: int, bytes (a cell's or slice's bag of cells), None, or nested lists.

        ChainUnreadable when the contract did not end with exit code 0 or 1.
        """

    def jetton_wallet(self, master: TonAddress, owner: TonAddress) -> TonAddress:
        """The owner's wallet of a jetton, as the jetton's master names it; ChainUnreadable for a contract that is no master."""
