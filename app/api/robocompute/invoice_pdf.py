"""An invoice on paper, with the credit notes to it on pages behind it: the same gives the same bytes."""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from app.api.robocompute.schemas.loose import written
from app.core.invoices import CreditNote, InvoiceView
from app.models.billing import InvoiceLine

FONT, FONT_FILE = "DejaVuSans", Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
WIDTH, HEIGHT, MARGIN, TO_X = 595, 842, 50, 280  # A4, in points
LEADING, TEXT_SIZE, TITLE_SIZE = 13, 8, 16
LINES_PER_PAGE, NAME_LIMIT_CHARS, PARTY_LINES, PARTY_LINE_CHARS = 40, 42, 11, 52
# Where each column of the table begins, or, with a minus, ends.
COLUMNS = (("#", 50), ("Task", 75), ("Charged (UTC)", 295), ("Seconds", -425), ("Per hour", -485), ("Amount", -545))
NOTE_COLUMNS = (("Credit note", 50), ("Line", 170), ("Task", 205), ("Issued (UTC)", 415), ("Amount", -545))
Columns = tuple[tuple[str, int], ...]
Row = TypeVar("Row")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
TERMS = "Paid in advance from the account's balance: nothing is due."
NOTE_TERMS = "Given back by the decision of a dispute."


def render(found: InvoiceView) -> bytes:
    """The PDF's bytes. What the font has no picture of is an empty box; nothing that a user wrote is run or followed."""
    from reportlab.pdfgen.canvas import Canvas

    _load_font()
    file = io.BytesIO()
    paper = Canvas(file, pagesize=(WIDTH, HEIGHT), invariant=1, initialFontName=FONT)
    paper.setTitle(f"Invoice {found.number}")
    paper.setAuthor(_line(found.invoice.seller.partition("\n")[0]))
    pages, notes = list(_pages(found.lines)) or [()], list(_pages(found.credit_notes))
    whole = len(pages) + len(notes)
    for number, lines in enumerate(pages, 1):
        _print_page(paper, found, lines, (number, whole), is_last=number == len(pages))
        paper.showPage()
    for number, some in enumerate(notes, len(pages) + 1):
        _print_notes(paper, found, some, (number, whole))
        paper.showPage()
    paper.save()
    return file.getvalue()


@cache
def _load_font() -> None:
    from reportlab.pdfbase.pdfmetrics import registerFont
    from reportlab.pdfbase.ttfonts import TTFont

    registerFont(TTFont(FONT, str(FONT_FILE)))


def _pages(lines: tuple[Row, ...]) -> Iterator[tuple[Row, ...]]:
    for start in range(0, len(lines), LINES_PER_PAGE):
        yield lines[start : start + LINES_PER_PAGE]


def _print_title(paper: Any, title: str, place: tuple[int, int]) -> int:
    """`place` is the page's number, of how many."""
    y = HEIGHT - MARGIN
    paper.setFont(FONT, TITLE_SIZE)
    paper.drawString(MARGIN, y, title)
    paper.setFont(FONT, TEXT_SIZE)
    paper.drawRightString(WIDTH - MARGIN, y, f"page {place[0]} of {place[1]}")
    return y


def _print_page(
    paper: Any, found: InvoiceView, lines: tuple[InvoiceLine, ...], place: tuple[int, int], *, is_last: bool
) -> None:
    y = _print_title(paper, f"Invoice {found.number}", place)
    y = _print_parties(paper, found, y - 20) if place[0] == 1 else y - 30
    y = _print_table(paper, y, COLUMNS, (_cells(found, item) for item in lines))
    if is_last:
        paper.drawString(MARGIN, y, TERMS)
        paper.drawRightString(WIDTH - MARGIN, y, f"Total {written(found.amount)} {found.invoice.asset}")


def _print_notes(paper: Any, found: InvoiceView, notes: tuple[CreditNote, ...], place: tuple[int, int]) -> None:
    y = _print_title(paper, f"Credit notes to invoice {found.number}", place) - 30
    y = _print_table(paper, y, NOTE_COLUMNS, (_note_cells(found, item) for item in notes))
    if place[0] == place[1]:
        paper.drawString(MARGIN, y, NOTE_TERMS)
        words = f"Credited {written(found.credited)}, net {written(found.amount - found.credited)} {found.invoice.asset}"
        paper.drawRightString(WIDTH - MARGIN, y, words)


def _print_table(paper: Any, y: int, columns: Columns, rows: Iterable[tuple[str, ...]]) -> int:
    """Its head, its rows, a line below; returns where what sums it up stands."""
    _print_row(paper, y, columns, tuple(title for title, _ in columns))
    paper.line(MARGIN, y - 4, WIDTH - MARGIN, y - 4)
    y -= 4
    for cells in rows:
        y -= LEADING
        _print_row(paper, y, columns, cells)
    paper.line(MARGIN, y - 8, WIDTH - MARGIN, y - 8)
    return y - 22


def _print_parties(paper: Any, found: InvoiceView, y: int) -> int:
    """When, and between whom; returns where the table begins."""
    invoice = found.invoice
    period = f"charges from {_moment(invoice.period_start)} to {_moment(invoice.period_end)}"
    paper.drawString(MARGIN, y, f"Issued {_moment(invoice.issued_at)}, {period}, all in UTC")
    y -= 25
    for x, title, party in ((MARGIN, "From", invoice.seller), (TO_X, "To", invoice.buyer)):
        for row, line in enumerate((title, *_wrapped(party))):
            paper.drawString(x, y - row * LEADING, line)
    return y - (PARTY_LINES + 2) * LEADING


def _wrapped(text: str) -> list[str]:
    found = (part for line in text.splitlines() for part in textwrap.wrap(_line(line), PARTY_LINE_CHARS))
    return list(found)[:PARTY_LINES]


def _print_row(paper: Any, y: int, columns: Columns, cells: tuple[str, ...]) -> None:
    for (_, x), cell in zip(columns, cells, strict=True):
        if x < 0:
            paper.drawRightString(-x, y, cell)
        else:
            paper.drawString(x, y, cell)


def _cells(found: InvoiceView, item: InvoiceLine) -> tuple[str, ...]:
    price, amount = written(found.money(item.price_minor)), written(found.money(item.amount_minor))
    return str(item.position), _name(item), _moment(item.charged_at), str(item.seconds), price, amount


def _note_cells(found: InvoiceView, item: CreditNote) -> tuple[str, ...]:
    amount = written(found.money(-item.dispute.cost_minor))
    return found.note_number(item), str(item.line.position), _name(item.line), _moment(found.note_issued_at(item)), amount


def _name(item: InvoiceLine) -> str:
    name = _line(item.name) or str(item.job_id)
    return name if len(name) <= NAME_LIMIT_CHARS else f"{name[: NAME_LIMIT_CHARS - 1]}…"


def _line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
