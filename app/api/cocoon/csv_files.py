"""Reports as files: streamed page by page, so that memory is flat and a slow reader holds no connection to the database."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from flask import Response

from app.api.context import hub
from app.db import Database, Session
from app.values.spreadsheet import Cell, line

PAGE_ROWS = 1000


class Row(Protocol):
    """A row of a report knows where it stands, and the page behind it begins there."""

    @property
    def place(self) -> Any: ...


R = TypeVar("R", bound=Row)


def send(
    header: Sequence[str], file_name: str, page: Callable[[Session, Any, int], list[R]], cells: Callable[[R], Sequence[Cell]]
) -> Response:
    """The file as an answer. Its first page is read at once, so that what cannot be read is an error and no half file."""
    database = hub().database
    first = _read(database, page, None)

    def rows() -> Iterator[str]:
        yield ",".join(header) + "\r\n"
        found = first
        while found:
            yield "".join(line(cells(row)) for row in found)
            found = _read(database, page, found[-1].place) if len(found) == PAGE_ROWS else []

    response = Response(rows(), mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=file_name)
    response.headers["Cache-Control"] = "no-store"
    return response


def _read(database: Database, page: Callable[[Session, Any, int], list[R]], after: Any) -> list[R]:
    with database.read_only() as session:
        return page(session, after, PAGE_ROWS)
