"""Cells that anybody may send: what can't be read is refused or passed over, and never stops the reading of the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytoniq_core import Builder, Cell, HashMap, begin_cell

from app.adapters.chains import ton_cells
from app.adapters.chains.ton_cells import MOST_BYTES, Bag, read_address, read_cell, read_transaction, write_address
from app.values.ton_address import TonAddress
from app.values.ton_arrivals import INTERNAL_TRANSFER, NOTIFICATION

ACCOUNT = TonAddress(0, bytes([7]) * 32)
SENDER = TonAddress(0, bytes([9]) * 32)


def std(address: TonAddress) -> Cell:
    return Builder().store_uint(0b100, 3).store_int(address.workchain, 8).store_bytes(address.hash_part).end_cell()


def message(body: Cell, source: Cell, init: Cell | None = None, inline: bool = False) -> Cell:
    made = begin_cell().store_uint(0b0100, 4).store_cell(source).store_cell(std(ACCOUNT)).store_coins(5).store_bit(0)
    made.store_coins(0).store_coins(0).store_uint(0, 96)
    if init is None:
        made.store_bit(0)
    else:
        made.store_bit(1).store_bit(1).store_ref(init)
    return (made.store_bit(0).store_cell(body) if inline else made.store_bit(1).store_ref(body)).end_cell()


def transaction(incoming: Cell, outgoing: dict[int, Cell] | None = None) -> bytes:
    """As a block writes one: without phases but the compute phase, which was skipped for want of code."""
    sent = HashMap(15, value_serializer=lambda value, builder: builder.store_ref(value))
    for number, cell in (outgoing or {}).items():
        sent.set_int_key(number, cell)
    messages = begin_cell().store_bit(1).store_ref(incoming).store_dict(sent.serialize()).end_cell()
    description = begin_cell().store_uint(0, 4).store_uint(0, 3).store_uint(0b000, 3).store_bit(0).store_uint(0b100, 3)
    made = begin_cell().store_uint(0b0111, 4).store_bytes(ACCOUNT.hash_part).store_uint(77, 64).store_bytes(bytes(32))
    made.store_uint(0, 64).store_uint(1_000, 32).store_uint(len(outgoing or {}), 15).store_uint(0, 4).store_ref(messages)
    made.store_coins(0).store_bit(0).store_ref(begin_cell().end_cell()).store_ref(description.end_cell())
    return made.end_cell().to_boc()


def text(words: str) -> Cell:
    return begin_cell().store_uint(0, 32).store_bytes(words.encode()).end_cell()


def comment_of(body: Cell, **options: object) -> str | None:
    found = read_transaction(ACCOUNT, transaction(message(body, std(SENDER), **options))).in_message  # type: ignore[arg-type]
    assert found is not None and found.source == SENDER and found.value_nano == 5
    return found.comment


def test_a_transaction_written_by_hand_is_read() -> None:
    found = read_transaction(ACCOUNT, transaction(message(text("memo"), std(SENDER)), {0: message(text("out"), std(ACCOUNT))}))
    assert (found.lt, found.unix_time, found.previous_lt, found.is_aborted, found.is_undeployed) == (77, 1_000, 0, True, True)
    assert found.in_message is not None and found.in_message.comment == "memo"
    assert [item.comment for item in found.out_messages] == ["out"]


MO = begin_cell().store_bytes(b"mo").end_cell()
CODE = begin_cell().store_uint(1, 8).end_cell()
STATE = begin_cell().store_uint(0, 2).store_bit(1).store_bit(1).store_bit(1).store_ref(CODE).store_ref(CODE).store_ref(CODE)


@pytest.mark.parametrize(
    ("body", "options", "comment"),
    [
        (text("memo"), {}, "memo"),
        (text("memo"), {"inline": True}, "memo"),
        (text("memo"), {"init": STATE.end_cell()}, "memo"),
        (text(""), {}, ""),
        (begin_cell().end_cell(), {}, None),
        (begin_cell().store_uint(0, 31).end_cell(), {}, None),
        (begin_cell().store_uint(1, 32).store_bytes(b"memo").end_cell(), {}, None),
        (begin_cell().store_uint(0, 32).store_bytes(b"me\xff\x00mo").end_cell(), {}, "me\ufffd\ufffdmo"),
        (begin_cell().store_uint(0, 32).store_bytes(b"memo").store_uint(1, 3).end_cell(), {}, "memo"),
        (begin_cell().store_uint(0, 32).store_bytes(b"me").store_ref(MO).end_cell(), {}, "memo"),
    ],
)  # fmt: skip
def test_comments(body: Cell, options: dict, comment: str | None) -> None:
    assert comment_of(body, **options) == comment


def test_a_comment_without_an_end_is_cut() -> None:
    body = begin_cell().store_bytes(b"x" * 100).end_cell()
    for _ in range(400):
        body = begin_cell().store_bytes(b"x" * 100).store_ref(body).end_cell()
    long = begin_cell().store_uint(0, 32).store_ref(body).end_cell()
    assert len(comment_of(long) or "") == ton_cells.COMMENT_BYTES


@pytest.mark.parametrize(
    "source",
    [
        begin_cell().store_uint(0b00, 2).end_cell(),
        begin_cell().store_uint(0b01, 2).store_uint(16, 9).store_uint(1, 16).end_cell(),
        begin_cell().store_uint(0b101, 3).store_uint(4, 5).store_uint(1, 4).store_int(0, 8).store_bytes(bytes(32)).end_cell(),
        begin_cell().store_uint(0b110, 3).store_uint(8, 9).store_int(0, 32).store_uint(1, 8).end_cell(),
    ],
)
def test_a_sender_of_an_odd_form_is_nobody_and_its_message_is_read(source: Cell) -> None:
    found = read_transaction(ACCOUNT, transaction(message(text("memo"), source))).in_message
    assert found is not None and (found.source, found.comment, found.value_nano) == (None, "memo", 5)


@pytest.mark.parametrize("op", [NOTIFICATION, INTERNAL_TRANSFER])
@given(rest=st.binary(max_size=80))
@settings(max_examples=60)
def test_a_body_that_begins_like_a_jettons_is_read_or_passed_over(op: int, rest: bytes) -> None:
    body = begin_cell().store_uint(op, 32).store_bytes(rest).end_cell()
    found = read_transaction(ACCOUNT, transaction(message(body, std(SENDER)))).in_message
    assert found is not None and found.op == op
    if found.jetton is not None and found.jetton.sender is not None:
        assert len(found.jetton.sender.hash_part) == 32 and found.jetton.amount_minor < 2**120


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_noise_is_no_transaction(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_transaction(ACCOUNT, data)


GOOD = transaction(message(text("memo"), std(SENDER)))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_a_changed_byte_gives_another_hash_or_nothing(place: int, value: int) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    try:
        found = read_transaction(ACCOUNT, changed)
    except ValueError:
        return
    if changed != GOOD:
        assert found.hash != read_transaction(ACCOUNT, GOOD).hash or read_cell(changed).hash == read_cell(GOOD).hash


@given(st.binary(min_size=1, max_size=200))
def test_a_cut_transaction_is_none(cut: bytes) -> None:
    with pytest.raises(ValueError):
        read_transaction(ACCOUNT, GOOD[: len(GOOD) - len(cut)])


def test_bags_that_are_too_large_are_not_opened() -> None:
    with pytest.raises(ValueError, match="bytes"):
        read_cell(bytes(MOST_BYTES + 1))
    header = bytes.fromhex("b5ee9c72") + bytes([3, 3]) + (20_000).to_bytes(3) + (1).to_bytes(3) + bytes(3) + (60_000).to_bytes(3)
    with pytest.raises(ValueError, match="20000 cells"):
        read_cell(header + bytes(3) + bytes(60_000))


def test_another_accounts_transaction_is_not_taken_for_ours() -> None:
    with pytest.raises(ValueError, match="another account"):
        read_transaction(SENDER, GOOD)


def test_addresses_go_to_methods_and_come_back() -> None:
    for address in (ACCOUNT, TonAddress(-1, bytes(range(32)))):
        assert read_address(write_address(address)) == address
    none, half = begin_cell().store_uint(0, 2).end_cell(), begin_cell().store_uint(0b100, 3).end_cell()
    for other in (none, half, begin_cell().end_cell()):
        with pytest.raises(ValueError):
            read_address(other.to_boc())


def notification(payload: Builder) -> Cell:
    head = begin_cell().store_uint(NOTIFICATION, 32).store_uint(1, 64).store_coins(700).store_cell(std(SENDER))
    return head.store_cell(payload.end_cell()).end_cell()


EXOTIC = Cell(begin_cell().store_uint(2, 8).store_bytes(bytes(32)).end_cell().bits, [], 2)  # a library's hash


@pytest.mark.parametrize(
    "payload", [begin_cell(), begin_cell().store_bit(1), begin_cell().store_bit(1).store_ref(EXOTIC)],
    ids=["none", "without-its-cell", "exotic"],
)
def test_jettons_that_came_with_a_payload_that_is_none_came_all_the_same(payload: Builder) -> None:
    found = read_transaction(ACCOUNT, transaction(message(notification(payload), std(SENDER)))).in_message
    assert found is not None and found.jetton is not None
    assert (found.jetton.amount_minor, found.jetton.sender, found.jetton.comment) == (700, SENDER, None)


def test_a_state_that_came_along_is_not_looked_into() -> None:
    assert comment_of(text("memo"), init=EXOTIC) == "memo"


# Merkle proofs may lie in a message: one in another in a third, so that what was cut out of them has two hashes of higher levels.
@pytest.mark.parametrize("mask", range(1, 8))
def test_proofs_in_a_message_are_read(mask: int) -> None:
    left_out = begin_cell().store_uint(1, 8).store_uint(mask, 8).store_bytes(bytes(34 * mask.bit_count())).end_cell()
    body: Cell = Bag(left_out.bits, [], 1)
    if mask != 0b110:
        assert body.hash == Cell(left_out.bits, [], 1).hash, "where the library can hash it, it is the same"
    for _ in range(3):
        proof = begin_cell().store_uint(3, 8).store_bytes(body.get_hash(0)).store_uint(body.get_depth(0), 16).end_cell()
        body = Cell(proof.bits, [body], 3)
    assert comment_of(begin_cell().store_uint(0, 32).store_bytes(b"memo").store_ref(body).end_cell()) == "memo"
