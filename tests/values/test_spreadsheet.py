"""CSV cells: our own values as they are, users' texts quoted, and never a formula."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.values.money import Money
from app.values.spreadsheet import cell, line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""), (True, "Yes"), (False, "No"), (7, "7"),
        (Money(1, "TON"), "0.000000001"), (Money(25_500_000_000, "TON"), "25.500000000"),
        (Decimal("89.25"), "89.25"), (Decimal("1E+3"), "1000.00"), (Decimal("0.000001"), "0.000001"), (Decimal(0), "0.00"),
        (datetime(2025, 1, 15, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2025-01-14 23:30:00"), ("plain text", "plain text"),
        ("", ""), ('say "so", then', '"say ""so"", then"'), ("a;b", '"a;b"'), ("two\r\nlines\tand\x00more", "two lines and more"),
        ("=1+1", "\"'=1+1\""), ("+1", "\"'+1\""), ("-1", "\"'-1\""), ("@SUM(A1)", "\"'@SUM(A1)\""), ("\t=1", "\"' =1\""),
        ("  =1", "\"'  =1\""), ("\uff1d1", "\"'\uff1d1\""), ("\n+cmd|' /C calc'!A0", "\"' +cmd|' /C calc'!A0\""),
        ("user-1", "user-1"), ("a=1", '"a=1"'), ("\u2028=1", "\"' =1\""),
    ],
    ids=repr,
)  # fmt: skip
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown  # type: ignore[arg-type]


@given(st.lists(st.text(), min_size=1))
def test_any_texts_are_one_row_of_as_many_harmless_fields(texts: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(line([*texts, "end"])))
    assert len(read) == len(texts) + 1 and read[-1] == "end"
    assert not [field for field in read if field.lstrip()[:1] in set("=+-@|%\uff1d\uff0b\uff0d\uff20")  and field]


def test_a_row_of_everything() -> None:
    moment = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
    assert line([moment, "ab12", 1, Money(5, "SOL"), None, True]) == "2025-01-15 10:30:00,ab12,1,0.000000005,,Yes\r\n"
