"""Messages as TON writes them."""

from pytoniq_core import Address, Cell, begin_cell

EMPTY = begin_cell().end_cell()
GIVER = Address("-1:" + "0" * 64)  # where a chain's new coins come from, as block rewards do
COMMENT_BYTES_LIMIT = 8_000
CELL_BYTES = 127


def comment_body(comment: str) -> Cell:
    """A text comment, in a chain of cells where it is long; none for an empty one."""
    if not comment:
        return EMPTY
    return chained(bytes(4) + comment.encode())


def chained(data: bytes) -> Cell:
    builder = begin_cell().store_bytes(data[:CELL_BYTES])
    if data[CELL_BYTES:]:
        builder.store_ref(chained(data[CELL_BYTES:]))
    return builder.end_cell()


def state_init(code: Cell, data: Cell) -> Cell:
    return begin_cell().store_uint(0, 2).store_bit(1).store_bit(1).store_bit(0).store_ref(code).store_ref(data).end_cell()


def address_of(init: Cell) -> Address:
    return Address((0, init.hash))


def internal(
    destination: Address,
    value_nano: int,
    body: Cell = EMPTY,
    *,
    source: Address | None = None,
    bounce: bool = True,
    init: Cell | None = None,
    created_lt: int = 0,
    created_at: int = 0,
) -> Cell:
    """An internal message; a contract leaves source, lt and time to the chain."""
    builder = (
        begin_cell().store_bit(0).store_bit(1).store_bit(bounce).store_bit(0).store_address(source).store_address(destination)
    )
    builder.store_coins(value_nano).store_bit(0).store_coins(0).store_coins(0)
    builder.store_uint(created_lt, 64).store_uint(created_at, 32)
    _store_init(builder, init)
    return builder.store_bit(1).store_ref(body).end_cell()


def external(destination: Address, body: Cell, init: Cell | None = None) -> Cell:
    builder = begin_cell().store_uint(0b10, 2).store_uint(0, 2).store_address(destination).store_coins(0)
    _store_init(builder, init)
    return builder.store_bit(1).store_ref(body).end_cell()


def _store_init(builder: object, init: Cell | None) -> None:
    if init is None:
        builder.store_bit(0)  # type: ignore[attr-defined]
    else:
        builder.store_bit(1).store_bit(1).store_ref(init)  # type: ignore[attr-defined]


def body_of(message: Cell) -> Cell:
    """Of a message that has its body in a cell of its own, which is then the last one."""
    return message.refs[-1]


def destination_of(message: Cell) -> tuple[Address, bool]:
    """Where a message goes, and whether it is external. ValueError for what is no inbound message."""
    part = message.begin_parse()
    if not part.load_bit():  # int_msg_info$0
        part.skip_bits(3)
        part.load_address()
        address, is_external = part.load_address(), False
    elif not part.load_bit():  # ext_in_msg_info$10
        part.load_address()
        address, is_external = part.load_address(), True
    else:
        raise ValueError("an outbound external message")
    if not isinstance(address, Address):
        raise ValueError("no destination")
    return address, is_external
