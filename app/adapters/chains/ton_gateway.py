"""The one gateway to TON: what a transport brings is read here, and believed only as far as it can be checked."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Protocol

from app.adapters.chains import ton_cells
from app.adapters.chains.json_rpc import MALFORMED
from app.adapters.chains.ton import StackEntry
from app.errors import ChainUnreadable
from app.values.ton_address import TonAddress
from app.values.ton_chain import ZERO_HASH, ChainMoment, TonAccount, TonTransaction

PAGE = 100  # toncenter gives no more at once
ELECTOR = TonAddress(-1, bytes([0x33]) * 32)  # an account that every TON network has
GOOD_EXITS = (0, 1)


class TonTransport(Protocol):
    """Brings tonlib's JSON, as liteservers give it to pytonlib and as toncenter v2 passes it on.

    Addresses go as friendly text, hashes as hex. ChainUnavailable: no answer; ChainUnreadable: an answer that says no.
    """

    @property
    def is_configured(self) -> bool: ...

    def account_state(self, address: str) -> Any: ...

    def transactions(self, address: str, limit: int, lt: int | None, hash: str | None, to_lt: int) -> Any: ...

    def run_get_method(self, address: str, name: str, stack: list[list[str]]) -> Any: ...

    def send(self, boc: bytes) -> None: ...


class CheckedTonGateway:
    """`app.adapters.chains.ton.TonGateway` over either transport.

    A transaction is read from its own cells, and its hash is computed from them: an answer whose cells, hashes and links do not
    agree is ChainUnreadable, and so is one that can't be read.
    """

    def __init__(self, transport: TonTransport) -> None:
        self._transport = transport

    @property
    def is_configured(self) -> bool:
        return self._transport.is_configured

    def now(self) -> ChainMoment:
        """The newest block that the node knows."""
        found = self.account(ELECTOR).as_of
        if found is None:
            raise ChainUnreadable("TON did not say which block it is at")
        return found

    def account(self, address: TonAddress) -> TonAccount:
        """The account as of the newest block that the node knows, which `as_of` names."""
        found = self._transport.account_state(address.friendly())
        try:
            return _account(found)
        except MALFORMED as error:
            raise ChainUnreadable(f"TON's account {address} cannot be read: {_short(error)}") from error

    def wallet_seqno(self, address: TonAddress) -> int | None:
        """The wallet's next sequence number; None while it has no code."""
        if self.account(address).state != "active":
            return None
        stack = self.run_get_method(address, "seqno")
        if len(stack) != 1 or not isinstance(stack[0], int) or not 0 <= stack[0] < 2**32:
            raise ChainUnreadable(f"TON's account {address} has no sequence number: it is no wallet")
        return stack[0]

    def transactions(
        self, address: TonAddress, limit: int, lt: int | None = None, hash: str | None = None, to_lt: int | None = None
    ) -> list[TonTransaction]:
        """Newest first, at most `limit` and at most a page of 100, so an answer may stop before the end; the links say so."""
        rows = self._transport.transactions(address.friendly(), min(limit, PAGE), lt, hash, to_lt or 0)
        try:
            found = [_transaction(address, row) for row in _list(rows)]
        except MALFORMED as error:
            raise ChainUnreadable(f"TON's transactions of {address} cannot be read: {_short(error)}") from error
        _assert_linked(address, found, lt, hash, to_lt or 0)
        return found

    def send(self, boc: bytes) -> None:
        """Hand over an external message; only the chain tells what became of it."""
        self._transport.send(boc)

    def run_get_method(self, address: TonAddress, name: str, stack: Sequence[StackEntry] = ()) -> list[Any]:
        """The stack that the method leaves; ChainUnreadable for a contract that has none or fails."""
        found = self._transport.run_get_method(address.friendly(), name, [_pushed(item) for item in stack])
        try:
            if int(found["exit_code"]) not in GOOD_EXITS:
                raise ValueError(f"it ended with exit code {found['exit_code']}")
            return [_popped(item) for item in _list(found["stack"])]
        except MALFORMED as error:
            raise ChainUnreadable(f"TON's {name} of {address} cannot be read: {_short(error)}") from error

    def jetton_wallet(self, master: TonAddress, owner: TonAddress) -> TonAddress:
        """The owner's wallet of a jetton, as the jetton's master names it."""
        stack = self.run_get_method(master, "get_wallet_address", [owner])
        try:
            return ton_cells.read_address(stack[0])
        except MALFORMED as error:
            raise ChainUnreadable(f"the jetton master {master} names no wallet: {_short(error)}") from error


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError(f"it is no list but {type(found).__name__}")
    return found


def _account(found: Any) -> TonAccount:
    code, frozen, last = found["code"], found.get("frozen_hash") or "", found["last_transaction_id"]
    state = "active" if code else "frozen" if frozen else "uninitialized"
    return TonAccount(
        balance_nano=max(0, _whole(found["balance"], least=-1)),  # an account that never was has -1
        state=state,
        last_lt=_whole(last["lt"]),
        last_hash=_hex(last["hash"]),
        code_hash=ton_cells.read_cell(_bytes(code)).hash.hex() if code else None,
        as_of=ChainMoment(_whole(found["block_id"]["seqno"]), _whole(found["sync_utime"])),
    )


def _transaction(address: TonAddress, row: Any) -> TonTransaction:
    found = ton_cells.read_transaction(address, _bytes(row["data"]))
    claimed = row["transaction_id"]
    if (found.lt, found.hash) != (_whole(claimed["lt"]), _hex(claimed["hash"])):
        raise ValueError(f"what is given as transaction {claimed['lt']} has the hash of another one")
    return found


def _assert_linked(address: TonAddress, found: list[TonTransaction], lt: int | None, hash: str | None, to_lt: int) -> None:
    """Each transaction is the one that the newer one names as its predecessor, and the first is the one asked for."""
    wanted = (lt, hash) if lt is not None else None
    if wanted is not None and not found and lt is not None and lt > to_lt:
        raise ChainUnreadable(f"TON's list of {address} lacks the transaction {lt} that it was asked for")
    for item in found:
        if wanted is not None and (item.lt, item.hash) != wanted:
            raise ChainUnreadable(f"TON's list of {address} lacks a link: {wanted[0]} was to come, not {item.lt}")
        is_first = item.previous_lt == 0
        if not to_lt < item.lt < 2**63 or item.previous_lt >= item.lt or is_first != (item.previous_hash == ZERO_HASH):
            raise ChainUnreadable(f"TON's list of {address} has {item.lt} where it can't stand")
        wanted = (item.previous_lt, item.previous_hash)


def _whole(value: Any, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{str(value)[:40]!r} is no whole number")
    number = int(value)
    if not least <= number < 2**63:
        raise ValueError(f"{number} is out of range")
    return number


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("it is no base64")
    return base64.b64decode(text, validate=True)


def _hex(text: Any) -> str:
    try:
        data = _bytes(text)
    except binascii.Error:
        data = b""
    if len(data) != 32:
        raise ValueError(f"{str(text)[:60]!r} is no hash")
    return data.hex()


def _pushed(item: StackEntry) -> list[str]:
    if isinstance(item, int):
        return ["num", hex(item)]
    if isinstance(item, TonAddress):
        return ["tvm.Slice", base64.b64encode(ton_cells.write_address(item)).decode()]
    return ["tvm.Cell", base64.b64encode(item).decode()]


def _popped(item: Any) -> Any:
    kind, value = item
    if kind == "num":
        return int(value, 0)
    if kind in ("cell", "slice"):
        return _bytes(value["bytes"])
    if kind in ("tuple", "list"):
        return [_element(part) for part in _list(value["elements"])]
    return None


def _element(part: Any) -> Any:
    """A stack's inner element in tonlib's own words."""
    kind = part["@type"]
    if kind == "tvm.stackEntryNumber":
        return int(part["number"]["number"], 0)
    if kind in ("tvm.stackEntryCell", "tvm.stackEntrySlice"):
        return _bytes(part[kind.removeprefix("tvm.stackEntry").lower()]["bytes"])
    if kind in ("tvm.stackEntryTuple", "tvm.stackEntryList"):
        return [_element(inner) for inner in _list(part[kind.removeprefix("tvm.stackEntry").lower()]["elements"])]
    return None
