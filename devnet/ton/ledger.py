"""What landed, account by account, and the messages that are on their way."""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from pytoniq_core import Cell
from pytoniq_core.tlb.account import Account, ShardAccount
from pytoniq_core.tlb.transaction import Transaction

from devnet.ton.machine import NO_ACCOUNT, to_cell


@dataclass(eq=False)
class Entry:
    """One transaction of an account, in the block that has it, and the account's state after it."""

    block: int
    transaction: str
    state: str

    @cached_property
    def cell(self) -> Cell:
        return to_cell(self.transaction)

    @cached_property
    def parsed(self) -> Transaction:
        return Transaction.deserialize(self.cell.begin_parse())

    @cached_property
    def messages(self) -> tuple[Cell | None, list[Cell]]:
        """The message in and the messages out, as they are: written anew they may have other hashes."""
        part = self.cell.begin_parse().load_ref().begin_parse()
        incoming = part.load_maybe_ref()
        outgoing = part.load_dict(15, value_deserializer=lambda value: value.load_ref()) or {}
        return incoming, [outgoing[number] for number in sorted(outgoing)]

    @cached_property
    def lt(self) -> int:
        return int(self.parsed.lt)

    @cached_property
    def account(self) -> Account | None:
        found = ShardAccount.deserialize(to_cell(self.state).begin_parse()).account
        return found if found is not None and getattr(found, "storage", None) else None


@dataclass(eq=False)
class Mail:
    """A message on its way: since block `created`, to be executed in block `due`."""

    message: str
    created: int
    due: int
    is_sent_in: bool  # from outside, not by a contract
    landed: int | None = None


@dataclass
class Ledger:
    accounts: dict[str, list[Entry]] = field(default_factory=dict)
    waiting: list[Mail] = field(default_factory=list)
    delivered: list[Mail] = field(default_factory=list)

    def entries(self, address: str, seqno: int) -> list[Entry]:
        """An account's transactions up to a block, oldest first."""
        found = self.accounts.get(address, [])
        return found[: bisect.bisect_right(found, seqno, key=lambda entry: entry.block)]

    def last(self, address: str, seqno: int) -> Entry | None:
        found = self.entries(address, seqno)
        return found[-1] if found else None

    def state(self, address: str) -> str:
        found = self.accounts.get(address)
        return found[-1].state if found else NO_ACCOUNT

    def add(self, address: str, entry: Entry) -> None:
        self.accounts.setdefault(address, []).append(entry)

    def next_due(self) -> int | None:
        return min((mail.due for mail in self.waiting), default=None)

    def take_due(self, block: int) -> list[Mail]:
        """The messages that block `block` executes, in the order they came."""
        due = [mail for mail in self.waiting if mail.due <= block]
        self.waiting = [mail for mail in self.waiting if mail.due > block]
        for mail in due:
            mail.landed = block
        self.delivered += due
        return due

    def turn_back(self, seqno: int, keep_sent: bool) -> None:
        """Forget what came after block `seqno`. Messages sent in from outside since then wait again, or are lost."""
        for address, entries in list(self.accounts.items()):
            self.accounts[address] = [entry for entry in entries if entry.block <= seqno]
        again = [mail for mail in self.delivered if mail.landed is not None and mail.landed > seqno]
        self.delivered = [mail for mail in self.delivered if mail.landed is not None and mail.landed <= seqno]
        self.waiting = [mail for mail in again + self.waiting if self._outlives(mail, seqno, keep_sent)]
        for mail in self.waiting:
            mail.landed, mail.created, mail.due = None, min(mail.created, seqno), seqno + 1

    @staticmethod
    def _outlives(mail: Mail, seqno: int, keep_sent: bool) -> bool:
        return mail.created <= seqno and not mail.is_sent_in or (mail.is_sent_in and keep_sent)

    def all_entries(self, seqno: int) -> Iterator[tuple[str, Entry]]:
        for address in self.accounts:
            yield from ((address, entry) for entry in self.entries(address, seqno))
