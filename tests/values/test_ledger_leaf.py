"""The text that is hashed, to the byte: a stranger must be able to write the same."""

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

from app.values import anchoring, ledger_leaf
from app.values.anchoring import Fees
from app.values.ledger_leaf import Leaf

LEAF = Leaf(
    number=42,
    entry_id=uuid.UUID("11111111-2222-3333-4444-555555555555"),
    account_id=uuid.UUID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    direction="DEBIT",
    amount_minor=2**62,
    asset="CREDIT",
    reference='job-"ä"\n\u2028',
    created_at=datetime(2026, 3, 13, 13, 0, 0, 7, timezone(timedelta(hours=1))),
)
TEXT = (
    '{"account":"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee","amount":"4611686018427387904","asset":"CREDIT","direction":"DEBIT","id":42,'
    '"reference":"job-\\"ä\\"\\n\u2028","time":"2026-03-13T12:00:00.000007Z","uuid":"11111111-2222-3333-4444-555555555555"}'
)


def test_the_text_is_exact_and_one_line() -> None:
    assert LEAF.text == TEXT and "\n" not in TEXT
    assert ledger_leaf.hash_text(TEXT) == sha256(b"\0" + TEXT.encode("utf-8")).digest()


def test_whole_seconds_have_all_their_digits() -> None:
    assert ledger_leaf.format_time(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"


def test_what_was_changed_is_named() -> None:
    assert ledger_leaf.changed_fields(TEXT, TEXT) == []
    changed = TEXT.replace("DEBIT", "CREDIT").replace("4611686018427387904", "1")
    assert ledger_leaf.changed_fields(TEXT, changed) == ["amount", "direction"]
    for broken in ("", "[]", "{", "7", '"x"'):
        assert ledger_leaf.changed_fields(broken, TEXT) in ([], list(json.loads(TEXT)))
    gone = Leaf(42, None, None, None, None, None, None, None).text
    assert ledger_leaf.is_gone(gone) and not ledger_leaf.is_gone(TEXT)


def test_an_anchor_is_read_back_and_nothing_else_is() -> None:
    root = bytes(range(32))
    data = anchoring.encode(2**40, root)
    assert len(data) == anchoring.DATA_BYTES and anchoring.decode(data) == (2**40, root)
    for other in (b"", data[:-1], data + b"\0", b"XXXX" + data[4:], root):
        assert anchoring.decode(other) is None


def test_a_replacement_offers_an_eighth_more_in_both_fees() -> None:
    assert Fees(10, 1).raised_above(Fees(80, 8)) == Fees(91, 10)
    assert Fees(500, 60).raised_above(Fees(80, 8)) == Fees(500, 60)
    assert Fees(0, 0).raised_above(Fees(1, 0)) == Fees(2, 1)
