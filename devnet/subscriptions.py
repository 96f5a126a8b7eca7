"""What one websocket client wants to hear: each subscription looks at the chain when asked, and says what is new."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from devnet.chain import Chain
from devnet.errors import InvalidParams, RpcError
from devnet.rpc import params
from devnet.rpc.context import context
from devnet.slots import FINAL_SLOTS
from devnet.views import accounts as views

SUBSCRIPTIONS_LIMIT = 1_000
SLOTS_AT_ONCE = 150

News = tuple[str, Any]


class Subscription(ABC):
    """`news` yields (notification's name, result) of what happened since the last look; `is_over` ends it."""

    is_over = False

    @abstractmethod
    def news(self) -> Iterator[News]: ...


class SignatureWatch(Subscription):
    """Fires once, for a transaction that landed long ago too."""

    def __init__(self, chain: Chain, signature: str, word: str, is_received_wanted: bool) -> None:
        self._chain, self._signature, self._word, self._wants_received = chain, signature, word, is_received_wanted

    def news(self) -> Iterator[News]:
        landed = self._chain.history.get(self._signature)
        if landed is None:
            return
        slots = self._chain.slots
        if self._wants_received:
            self._wants_received = False
            yield "signatureNotification", context(slots.now, "receivedSignature")
        if slots.has_reached(landed.slot, self._word):
            self.is_over = True
            yield "signatureNotification", context(slots.at(self._word), {"err": landed.error})


class SlotWatch(Subscription):
    def __init__(self, chain: Chain) -> None:
        self._slots, self._last = chain.slots, chain.slots.now

    def news(self) -> Iterator[News]:
        now = self._slots.now
        for slot in range(max(self._last, now - SLOTS_AT_ONCE) + 1, now + 1):
            yield "slotNotification", {"parent": slot - 1, "root": max(0, slot - FINAL_SLOTS), "slot": slot}
        self._last = now


class RootWatch(Subscription):
    def __init__(self, chain: Chain) -> None:
        self._slots, self._last = chain.slots, chain.slots.at("finalized")

    def news(self) -> Iterator[News]:
        root = self._slots.at("finalized")
        for slot in range(max(self._last, root - SLOTS_AT_ONCE) + 1, root + 1):
            yield "rootNotification", slot
        self._last = root


class AccountWatch(Subscription):
    def __init__(self, chain: Chain, key: Any, encoding: str, word: str) -> None:
        self._chain, self._key, self._encoding, self._word = chain, key, encoding, word
        self._last = chain.accounts.at(key, word)

    def news(self) -> Iterator[News]:
        with self._chain.lock:
            slot = self._chain.slots.at(self._word)
            account = self._chain.accounts.at(self._key, self._word)
            if account == self._last:
                return
            self._last = account
            shown = views.show(self._chain.accounts, account, self._encoding, self._word)
        gone = {"data": ["", "base64"], "executable": False, "lamports": 0, "owner": "1" * 32, "rentEpoch": 0, "space": 0}
        yield "accountNotification", context(slot, shown or gone)


class LogsWatch(Subscription):
    """The logs of every transaction, or of those that name an address (`mentions`)."""

    def __init__(self, chain: Chain, mentions: str | None, word: str) -> None:
        self._chain, self._mentions, self._word = chain, mentions, word
        self._next = next((item.number for item in chain.history.order if not self._is_due(item)), len(chain.history.order))

    def _is_due(self, landed: Any) -> bool:
        return self._chain.slots.has_reached(landed.slot, self._word)

    def news(self) -> Iterator[News]:
        order = self._chain.history.order
        while self._next < len(order) and self._is_due(order[self._next]):
            landed = order[self._next]
            self._next += 1
            if self._mentions is None or self._mentions in map(str, landed.keys):
                value = {"signature": landed.signature, "err": landed.error, "logs": landed.outcome.logs}
                yield "logsNotification", context(landed.slot, value)


class Subscriptions:
    """Those of one connection, by number; numbers are never used twice."""

    _numbers = itertools.count(1)

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._held: dict[int, Subscription] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, subscription: Subscription) -> int:
        if len(self._held) >= SUBSCRIPTIONS_LIMIT:
            raise RpcError(-32005, f"A connection holds at most {SUBSCRIPTIONS_LIMIT} subscriptions")
        number = next(self._numbers)
        self._held[number] = subscription
        self._on_change()
        return number

    def drop(self, number: Any, kind: type[Subscription]) -> bool:
        if not isinstance(self._held.get(params.number(number, "subscription")), kind):
            raise InvalidParams("Invalid subscription id.")
        del self._held[number]
        return True

    def news(self) -> Iterator[tuple[int, News]]:
        for number, subscription in list(self._held.items()):
            for item in subscription.news():
                yield number, item
            if subscription.is_over:
                del self._held[number]


class SubscriptionMethods:
    """The JSON-RPC methods of one connection."""

    def __init__(self, chain: Chain, held: Subscriptions) -> None:
        self._chain, self._held = chain, held

    def signatureSubscribe(self, signature: Any, given: Any = None) -> int:
        options = params.options(given)
        received = params.flag(options, "enableReceivedNotification")
        watch = SignatureWatch(self._chain, params.signature(signature), params.commitment(options), received)
        return self._held.add(watch)

    def slotSubscribe(self) -> int:
        return self._held.add(SlotWatch(self._chain))

    def rootSubscribe(self) -> int:
        return self._held.add(RootWatch(self._chain))

    def accountSubscribe(self, address: Any, given: Any = None) -> int:
        options = params.options(given)
        encoding = views.check_encoding(options.get("encoding") or "base58")
        return self._held.add(AccountWatch(self._chain, params.pubkey(address), encoding, params.commitment(options)))

    def logsSubscribe(self, wanted: Any, given: Any = None) -> int:
        word = params.commitment(params.options(given))
        if wanted in ("all", "allWithVotes"):
            return self._held.add(LogsWatch(self._chain, None, word))
        mentions = params.items(params.options(wanted).get("mentions"), "mentions", 1)
        if not mentions:
            raise InvalidParams("mentions must name one address")
        return self._held.add(LogsWatch(self._chain, str(params.pubkey(mentions[0])), word))

    def signatureUnsubscribe(self, number: Any) -> bool:
        return self._held.drop(number, SignatureWatch)

    def slotUnsubscribe(self, number: Any) -> bool:
        return self._held.drop(number, SlotWatch)

    def rootUnsubscribe(self, number: Any) -> bool:
        return self._held.drop(number, RootWatch)

    def accountUnsubscribe(self, number: Any) -> bool:
        return self._held.drop(number, AccountWatch)

    def logsUnsubscribe(self, number: Any) -> bool:
        return self._held.drop(number, LogsWatch)

    def ping(self) -> None:
        """web3.js sends this notification to keep the line warm."""
