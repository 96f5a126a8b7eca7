"""Integer ids in paths."""

import re

from app.errors import InvalidInput, NotFound

_DIGITS = re.compile(r"[0-9]{1,40}", re.ASCII)
ID_MOST = 2**31 - 1


def read(text: str, name: str) -> int:
    """The id; InvalidInput for what is no whole number, NotFound for one that no row can have."""
    if not _DIGITS.fullmatch(text):
        raise InvalidInput(f"{name}: must be a whole number")
    found = int(text)
    if not 0 < found <= ID_MOST:
        raise NotFound(f"{name}: there is none with this id")
    return found
