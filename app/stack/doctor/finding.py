"""One thing that was looked at."""

from dataclasses import dataclass

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """FAIL: the marketplace can't run here; WARN: it runs with less. `advice` is what mends it, a command where one does."""

    mark: str
    name: str
    text: str
    advice: str = ""


def reason_of(error: BaseException) -> str:
    """The first line of what went wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
