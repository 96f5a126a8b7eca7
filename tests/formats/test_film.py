"""A film is what its index says, and an index that lies is refused."""

from pathlib import Path

import pytest

from app.formats import film
from app.formats.film import FilmFacts
from app.formats.image import ResultUnreadable
from tests.factories import films

GOOD = films.film(5, 30, (640, 360))


def read(folder: Path, data: bytes) -> FilmFacts:
    path = folder / "film.mp4"
    path.write_bytes(data)
    return film.read(path)


def test_what_it_holds_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == FilmFacts(640, 360, 5, 30.0)


def test_every_film_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    for length in range(len(GOOD)):
        with pytest.raises(ResultUnreadable):
            read(tmp_path, GOOD[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 64,
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        films.film(0),
        films.film(5, fps=0),
        films.film(5, codec=b"mp4v"),
        films.film(5, handler=b"soun"),
        GOOD.replace(b"\0\0\0\x07", b"\0\0\xff\xff"),  # pictures larger than the file
        GOOD.replace(b"stts\0\0\0\0\0\0\0\1", b"stts\0\0\0\0\xff\xff\xff\xff"),
        GOOD.replace(b"stsz\0\0\0\0\0\0\0\0", b"stsz\0\0\0\0\x7f\xff\xff\xff"),
        GOOD + GOOD[:100],
        GOOD + films._box(b"free") * film.BOXES_MOST,  # each is looked at
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, data: bytes) -> None:
    assert data != GOOD
    with pytest.raises(ResultUnreadable):
        read(tmp_path, data)


def test_boxes_within_boxes_end(tmp_path: Path) -> None:
    data = films._box(b"trak")
    for _ in range(2000):
        data = films._box(b"trak", data)
    with pytest.raises(ResultUnreadable):
        read(tmp_path, films._box(b"ftyp", b"isom") + films._box(b"moov", data))
