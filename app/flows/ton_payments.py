"""Payments on TON found by walking: from the newest transaction back to where the last walk began, link by link."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from app.core import arrivals, chain_cursors, jetton_wallets
from app.core.arrivals import CHAIN
from app.core.chain_cursors import Address
from app.core.ton_hub import TonHub
from app.db import Database
from app.errors import ChainUnavailable, ChainUnreadable
from app.failpoints import failpoint
from app.values.ton_address import TonAddress, read
from app.values.ton_arrivals import Jetton, TonArrival, WatchedAccount, arrival
from app.values.ton_chain import ZERO_HASH, TonAccount, TonTransaction

log = structlog.get_logger()
PAGE, PAGES = 100, 20  # so many transactions of one account in one sweep; a longer walk goes on in the next


class Ton(Protocol):
    """What these flows ask of TON; ChainUnavailable means that nothing is known."""

    def account(self, address: TonAddress) -> TonAccount: ...

    def transactions(
        self, address: TonAddress, limit: int, lt: int | None = None, hash: str | None = None, to_lt: int | None = None
    ) -> list[TonTransaction]: ...

    def jetton_wallet(self, master: TonAddress, owner: TonAddress) -> TonAddress: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A transaction to walk from or to; (0, ZERO_HASH) is before the first."""

    lt: int
    hash: str

    def __str__(self) -> str:
        return f"{self.lt}:{self.hash}"


START = Place(0, ZERO_HASH)


def _place(text: str) -> Place:
    lt, _, hash = text.partition(":")
    return Place(int(lt), hash)


def watch(database: Database, hub: TonHub) -> None:
    """Have the hub's wallet read, and its jetton wallets, whether or not somebody was asked to pay there."""
    if hub.wallet is None:
        return
    with database.unit_of_work() as session:
        own = jetton_wallets.known(session, hub.wallet)
        for address in (hub.wallet, *(own[master] for master in hub.masters if master in own)):
            chain_cursors.watch(session, CHAIN, address.raw)


def find_arrivals(database: Database, ton: Ton, hub: TonHub) -> int:
    """Walk every account that is due, and decide what its walk has proven. Returns how many arrivals were decided.

    An account that can't be read, that lags or whose chain lacks a link is left undecided, and walked again the next time; it
    keeps no other from being read. ChainUnavailable ends the sweep: the chain is away for all of them.
    """
    watch(database, hub)
    with database.unit_of_work() as session:
        due = chain_cursors.due(session, chain=CHAIN, by_lot=True)
    for place in due:
        try:
            _walk(database, ton, place, _watched(database, ton, hub, read(place.address)), hub)
        except ChainUnreadable as error:
            log.warning("ton.account_not_read", address=place.address, error=error.message)
            _begin_again(database, place)
    return decide(database, hub)


def decide(database: Database, hub: TonHub) -> int:
    """Decide what was proven, one unit of work each; harmless to repeat, and by two at once."""
    with database.unit_of_work() as session:
        waiting = arrivals.undecided(session)
    for arrival_id in waiting:
        try:
            _decide(database, hub, arrival_id)
        except Exception:  # noqa: BLE001  logged, still proven, and tried again by the next sweep; the others must not wait for it
            log.exception("ton.arrival_not_decided", arrival_id=str(arrival_id))
    return len(waiting)


def _decide(database: Database, hub: TonHub, arrival_id: uuid.UUID) -> None:
    with database.unit_of_work() as session:
        found = arrivals.decide(session, arrival_id, hub.wallet)
        failpoint("ton.deciding")
        log.info("ton.arrival", tx_hash=found.hash, state=found.state, code=found.code, payment_id=str(found.payment_id))


def _watched(database: Database, ton: Ton, hub: TonHub, address: TonAddress) -> WatchedAccount:
    """The account with its owner's jetton wallets; the hub's own jetton wallets are read for the hub."""
    if hub.wallet is not None:
        own = _jettons(database, ton, hub, hub.wallet)
        if address in own or address == hub.wallet:
            return WatchedAccount(address, hub.wallet, own)
    return WatchedAccount(address, address, _jettons(database, ton, hub, address))


def _jettons(database: Database, ton: Ton, hub: TonHub, owner: TonAddress) -> dict[TonAddress, Jetton]:
    """The owner's wallets of the allow-listed jettons; each master is asked once, ever.

    Until all are known nothing can be said of the owner's account: a jetton's own wallet would pass for anybody's.
    """
    with database.unit_of_work() as session:
        known = jetton_wallets.known(session, owner)
    for master in hub.masters.keys() - known.keys():
        wallet = ton.jetton_wallet(master, owner)
        with database.unit_of_work() as session:
            jetton_wallets.note(session, owner, master, wallet)
        known[master] = wallet
    return {known[master]: Jetton(master, asset) for master, asset in hub.masters.items()}


def _walk(database: Database, ton: Ton, place: Address, watched: WatchedAccount, hub: TonHub) -> None:
    """One account, as far as this sweep goes: page by page, each noted with the place where the next begins."""
    head = _place(place.walk_head) if place.walk_head else _head(ton, watched.address)
    end, since = _end(database, place, watched, head)
    at = _place(place.walk_next) if place.walk_next else head
    _assert_ahead(watched.address, at, end)
    for _ in range(PAGES):
        if at == end:
            break
        page = ton.transactions(watched.address, PAGE, lt=at.lt, hash=at.hash, to_lt=end.lt)
        wanted = [item for item in page if since is None or item.unix_time >= since.timestamp()]
        last = page[-1]
        at = Place(last.previous_lt, last.previous_hash) if len(wanted) == len(page) else end
        _assert_ahead(watched.address, at, end)
        place = _note(database, place, watched, _read(wanted, watched), hub, head, at)
    if at == end:
        _end_walk(database, place, watched, head)


def _end(database: Database, place: Address, watched: WatchedAccount, head: Place) -> tuple[Place, datetime | None]:
    """Where the walk ends: where the last one began, or, on an account never read, before the first payment asked for.

    What came to it before the hub asked anybody for anything is not the hub's business.
    """
    if place.signature is not None:
        return _place(place.signature), None
    with database.unit_of_work() as session:
        since = arrivals.first_asked_at(session, watched.owner)
    return (head, None) if since is None else (START, since)


def _head(ton: Ton, address: TonAddress) -> Place:
    account = ton.account(address)
    return Place(account.last_lt, account.last_hash)


def _assert_ahead(address: TonAddress, at: Place, end: Place) -> None:
    """A place before the end, or another one at it, is of a node that lags or of another chain than the one we knew."""
    if at.lt < end.lt or (at.lt == end.lt and at.hash != end.hash):
        raise ChainUnreadable(f"TON's account {address} is at {at.lt}, and was at {end.lt}: the node lags, or the chain forked")


def _read(page: Iterable[TonTransaction], watched: WatchedAccount) -> list[TonArrival]:
    found = (arrival(transaction, watched) for transaction in page)
    return [item for item in found if item is not None]


def _note(
    database: Database, place: Address, watched: WatchedAccount, found: list[TonArrival], hub: TonHub, head: Place, at: Place
) -> Address:
    """Keep what a page held and where the walk goes on; returns the cursor as it is then."""
    after = Address(place.chain, place.address, place.signature, str(head), str(at))
    with database.unit_of_work() as session:
        if not chain_cursors.is_still(session, place):
            raise ChainUnavailable(f"TON's account {watched.address} is being read by another sweep")
        arrivals.note(session, watched.address, watched.owner, found, only_ours=watched.owner != hub.wallet)
        chain_cursors.pause(session, place, after.walk_head, after.walk_next)
        failpoint("ton.noting")
    return after


def _end_walk(database: Database, place: Address, watched: WatchedAccount, head: Place) -> None:
    with database.unit_of_work() as session:
        if chain_cursors.is_still(session, place):
            arrivals.prove(session, watched.address)
            chain_cursors.move(session, place, str(head))
            failpoint("ton.proving")


def _begin_again(database: Database, place: Address) -> None:
    """What a broken walk found is forgotten; nothing of it was decided."""
    with database.unit_of_work() as session:
        forgotten = arrivals.forget_found(session, read(place.address))
        chain_cursors.pause(session, place, None, None)
    if forgotten:
        log.warning("ton.walk_broken", address=place.address, forgotten=forgotten)
