"""The accounts of the chain as of a commitment: the SVM knows the newest state only, so the last 32 slots' are kept here."""

from collections import defaultdict, deque

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from devnet.slots import FINAL_SLOTS, Slots
from devnet.tokens import read_holding

LOOKUP_TABLE_PROGRAM = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
LOOKUP_TABLE_HEADER_BYTES = 56


class Accounts:
    def __init__(self, svm: LiteSVM, slots: Slots) -> None:
        self._svm, self._slots = svm, slots
        self._before: dict[Pubkey, deque[tuple[int, Account | None]]] = defaultdict(deque)
        self._changed: deque[tuple[int, Pubkey]] = deque()
        self._holdings: dict[Pubkey, set[Pubkey]] = defaultdict(set)

    def now(self, key: Pubkey) -> Account | None:
        """The newest state; an account without lamports is not there."""
        found = self._svm.get_account(key)
        return found if found is not None and found.lamports else None

    def at(self, key: Pubkey, commitment: str) -> Account | None:
        """The state in the newest slot that has reached a commitment."""
        slot = self._slots.at(commitment)
        for changed, before in self._before.get(key, ()):
            if changed > slot:
                return before
        return self.now(key)

    def note(self, slot: int, before: dict[Pubkey, Account | None]) -> None:
        """Remember what accounts were before a transaction of `slot`, and whose token accounts they are now."""
        for key, account in before.items():
            self._before[key].append((slot, account))
            self._changed.append((slot, key))
            for state in (account, self.now(key)):
                if (holding := read_holding(state)) is not None:
                    self._holdings[holding.owner].add(key)
        while self._changed and self._changed[0][0] <= slot - FINAL_SLOTS - 1:
            _, key = self._changed.popleft()
            self._before[key].popleft()
            if not self._before[key]:
                del self._before[key]

    def holdings_of(self, owner: Pubkey, commitment: str) -> list[tuple[Pubkey, Account]]:
        """An owner's token accounts, by address."""
        found = ((key, self.at(key, commitment)) for key in sorted(self._holdings.get(owner, ()), key=bytes))
        return [(key, account) for key, account in found if (held := read_holding(account)) and held.owner == owner and account]

    def looked_up(self, table: Pubkey, indexes: bytes) -> list[Pubkey] | None:
        """Addresses out of a lookup table; None when there is no such table or place in it."""
        account = self.now(table)
        if account is None or account.owner != LOOKUP_TABLE_PROGRAM:
            return None
        data = account.data[LOOKUP_TABLE_HEADER_BYTES:]
        if any(32 * (index + 1) > len(data) for index in indexes):
            return None
        return [Pubkey(data[32 * index : 32 * index + 32]) for index in indexes]
