"""TON's bags of cells read: a transaction as its own cells tell it, whatever the JSON around them says.

Only what an attacker can put there is read with care: a body of any form, a sender of any form, a huge message. What the
chain itself makes must have the form that the chain gives it, else it is no transaction.
"""

import hashlib
from dataclasses import replace

from pytoniq_core.boc import Builder, Cell, Slice
from pytoniq_core.boc.deserialize import Boc
from pytoniq_core.boc.exotic import CellTypes
from pytoniq_core.tlb.transaction import TransactionDescr, TransactionOrdinary

from app.values.ton_address import TonAddress
from app.values.ton_arrivals import INTERNAL_TRANSFER, NOTIFICATION
from app.values.ton_chain import JettonNotice, TonMessage, TonTransaction

# The largest message has 8,192 cells and 256 KiB; a transaction of ours carries few. A node's answer may be anything.
MOST_BYTES, MOST_CELLS = 1_048_576, 16_384
COMMENT_BYTES = 4096  # a longer text is cut: it is no memo of ours
TEXT = 0


class Reader(Slice):
    """A slice that refuses to give more bits than it has; the library's gives fewer and says nothing."""

    def _need(self, length: int) -> None:
        if length > self.remaining_bits:
            raise ValueError(f"the cell ends: {length} bits wanted, {self.remaining_bits} left")

    def skip_bits(self, length: int) -> Slice:
        self._need(length)
        return super().skip_bits(length)

    def load_uint(self, length: int) -> int:
        self._need(length)
        return int(super().load_uint(length)) if length else 0

    def load_int(self, length: int) -> int:
        self._need(length)
        return int(super().load_int(length))

    def load_bytes(self, length: int) -> bytes:
        self._need(length * 8)
        return bytes(super().load_bytes(length))


class Bag(Cell):
    """A cell that hashes what a Merkle proof left out whatever its levels; the library stumbles where that has none of level 1.

    Anybody may send such cells, and a history with one that can't be hashed could not be read past it.
    """

    def calculate_hashes(self) -> None:
        if self.type_ != CellTypes.pruned_branch:
            super().calculate_hashes()
            return
        told = self.get_descriptors(self.level_mask) + self.get_data_bytes()
        self._depths, self._hashes = [0], [hashlib.sha256(told).digest()]


def _open(cell: Cell) -> Reader:
    if cell.is_exotic:
        raise ValueError("the cell is a proof's, not data")
    return Reader(cell.bits.copy(), cell.refs)


def read_cell(boc: bytes) -> Cell:
    """The one root of a bag of cells; ValueError for anything else."""
    if len(boc) > MOST_BYTES:
        raise ValueError(f"the bag of cells has {len(boc)} bytes")
    try:
        header = Boc.deserialize_boc_header(boc)
        if header["cells_num"] > MOST_CELLS or header["roots_num"] != 1:
            raise ValueError(f"the bag has {header['cells_num']} cells and {header['roots_num']} roots")
        roots = Boc(boc).deserialize(Bag)
    except Exception as error:  # noqa: BLE001  the library raises of every kind
        raise ValueError(f"it is no bag of cells: {type(error).__name__}: {error}") from error
    return roots[0]


def write_address(address: TonAddress) -> bytes:
    """An address as the bag of a slice, for get-methods."""
    cell = Builder().store_uint(0b100, 3).store_int(address.workchain, 8).store_bytes(address.hash_part).end_cell()
    return bytes(cell.to_boc())


def read_address(boc: bytes) -> TonAddress:
    """The address that a get-method left as a slice or cell; ValueError if it is none."""
    found = _address(_open(read_cell(boc)))
    if found is None:
        raise ValueError("the cell holds no address")
    return found


def read_transaction(account: TonAddress, boc: bytes) -> TonTransaction:
    """A transaction of this account; ValueError for another one's, or for what is no transaction."""
    cell = read_cell(boc)
    try:
        return _transaction(account, cell)
    except Exception as error:  # noqa: BLE001  running off a cell's end raises of every kind
        raise ValueError(f"the cells are no transaction: {type(error).__name__}: {error}") from error


def _transaction(account: TonAddress, cell: Cell) -> TonTransaction:
    data = _open(cell)
    if data.load_uint(4) != 0b0111:
        raise ValueError("the tag is another one")
    if data.load_bytes(32) != account.hash_part:
        raise ValueError("it is of another account")
    lt, previous_hash, previous_lt = data.load_uint(64), data.load_bytes(32), data.load_uint(64)
    unix_time, out_count = data.load_uint(32), data.load_uint(15)
    messages = _open(data.load_ref())
    incoming = messages.load_ref() if messages.load_bit() else None
    outgoing = messages.load_dict(15, value_deserializer=lambda value: value.load_ref()) or {}
    if len(outgoing) != out_count:
        raise ValueError(f"it has {len(outgoing)} messages and speaks of {out_count}")
    data.skip_bits(4)  # the account's status before and after
    _skip_currencies(data)
    data.load_ref()  # the account's hashes before and after
    found = TonTransaction(
        account=account,
        lt=lt,
        hash=cell.hash.hex(),
        unix_time=unix_time,
        in_message=None if incoming is None else _message(incoming),
        out_messages=tuple(_message(outgoing[key]) for key in sorted(outgoing)),
        is_aborted=False,
        exit_code=None,
        previous_lt=previous_lt,
        previous_hash=previous_hash.hex(),
    )
    return _with_outcome(found, TransactionDescr.deserialize(_open(data.load_ref())))


def _with_outcome(found: TonTransaction, description: object) -> TonTransaction:
    compute, action = getattr(description, "compute_ph", None), getattr(description, "action", None)
    is_run = compute is not None and compute.type_ == "vm"
    bounce = description.bounce if isinstance(description, TransactionOrdinary) else None
    return replace(
        found,
        is_aborted=bool(getattr(description, "aborted", False)),
        exit_code=compute.exit_code if is_run and compute is not None else None,
        action_code=None if action is None else action.result_code,
        is_returned=bounce is not None and bounce.type_ == "ok",
        is_undeployed=compute is not None and not is_run and compute.reason.type_ == "no_state",
    )


def _message(cell: Cell) -> TonMessage:
    data = _open(cell)
    source, destination, value, is_bounced = _envelope(data)
    if data.load_bit():  # a state-init
        data.load_ref() if data.load_bit() else _skip_state(data)
    body = data.load_ref() if data.load_bit() else data.to_cell()
    op = _open(body).load_uint(32) if len(body.bits) >= 32 and not body.is_exotic else None
    return TonMessage(
        source=source,
        destination=destination,
        value_nano=value,
        is_bounced=is_bounced,
        comment=None if is_bounced or op != TEXT else _text(_open(body)),
        op=op,
        body_hash=body.hash.hex(),
        message_hash=cell.hash.hex(),
        jetton=None if is_bounced else _jetton(body, op),
    )


def _envelope(data: Reader) -> tuple[TonAddress | None, TonAddress | None, int, bool]:
    """Sender, receiver, value and whether it bounced; leaves `data` at the state-init."""
    if not data.load_bit():  # internal
        data.skip_bits(2)
        is_bounced = bool(data.load_bit())
        source, destination = _address(data), _address(data)
        value = _skip_currencies(data)
        data.load_coins()
        data.load_coins()
        data.skip_bits(96)
        return source, destination, value, is_bounced
    if not data.load_bit():  # from outside
        source, destination = _address(data), _address(data)
        data.load_coins()
        return source, destination, 0, False
    source, destination = _address(data), _address(data)  # to outside
    data.skip_bits(96)
    return source, destination, 0, False


def _skip_currencies(data: Reader) -> int:
    """Nanotons; other currencies, which nobody has, are passed over."""
    coins = data.load_coins()
    if data.load_bit():
        data.load_ref()
    return coins


def _skip_state(data: Reader) -> None:
    if data.load_bit():
        data.skip_bits(5)
    if data.load_bit():
        data.skip_bits(2)
    for _ in ("code", "data", "library"):
        if data.load_bit():
            data.load_ref()


def _address(data: Reader) -> TonAddress | None:
    """A standard address; None for no address, an outside one, and forms that no wallet has."""
    kind = data.load_uint(2)
    if kind == 0:
        return None
    if kind == 1:
        data.skip_bits(data.load_uint(9))
        return None
    is_rewritten = bool(data.load_bit())
    if is_rewritten:
        data.skip_bits(data.load_uint(5))
    bits = data.load_uint(9) if kind == 3 else 256
    workchain = data.load_int(32 if kind == 3 else 8)
    if kind == 3 or is_rewritten:
        data.skip_bits(bits)
        return None
    return TonAddress(workchain, bytes(data.load_bytes(32)))


def _text(part: Reader) -> str:
    """What follows op 0, cell by cell."""
    part.skip_bits(32)
    text = b""
    while True:
        text += part.load_bytes(part.remaining_bits // 8)
        if len(text) > COMMENT_BYTES or not part.remaining_refs or part.preload_ref().is_exotic:
            return text[:COMMENT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
        part = _open(part.load_ref())


def _jetton(body: Cell, op: int | None) -> JettonNotice | None:
    """What the body says of a jetton transfer, if it says so in a form that can be read."""
    if op not in (NOTIFICATION, INTERNAL_TRANSFER):
        return None
    data = _open(body)
    try:
        data.skip_bits(32 + 64)
        amount, sender = data.load_coins(), _address(data)
        if op == INTERNAL_TRANSFER:
            _address(data)
            data.load_coins()
    except Exception:  # noqa: BLE001  anybody can send a body that begins like one and is none
        return None
    try:
        comment = _payload_comment(data)
    except Exception:  # noqa: BLE001  the payload is the sender's: whatever it is, the jettons came
        comment = None
    return JettonNotice(amount, sender, comment)


def _payload_comment(data: Reader) -> str | None:
    """The comment that came along with jettons, in the message or in a cell of its own."""
    payload = _open(data.load_ref()) if data.load_uint(1) else data
    is_text = payload.remaining_bits >= 32 and payload.preload_uint(32) == TEXT
    return _text(payload) if is_text else None
