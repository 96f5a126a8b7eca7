"""Where machines are, in the providers' and clients' own words: "us-east", and what lies within it, "us-east-1"."""

import re

from app.errors import InvalidInput

LIMIT_CHARS = 64
_FORM = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def read(text: str) -> str:
    """The one form of a place's name: small letters and digits, parts joined by hyphens. "US East" is "us-east"."""
    found = re.sub(r"[\s_./-]+", "-", text.strip().lower())
    if len(found) > LIMIT_CHARS or not _FORM.fullmatch(found):
        raise InvalidInput(f'a location is up to {LIMIT_CHARS} letters, digits and hyphens, such as "us-east"')
    return found


def around(location: str) -> list[str]:
    """All places that a location lies in, itself last: "us-east-1" is in "us", "us-east" and "us-east-1"."""
    parts = location.split("-")
    return ["-".join(parts[:count]) for count in range(1, len(parts) + 1)]
