"""One clock for the hub: aware UTC, replaceable in tests."""

from collections.abc import Callable
from datetime import UTC, datetime

_source: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _source()


def replace_clock(source: Callable[[], datetime] | None) -> None:
    """Let a test hold the time; None gives the real clock back."""
    global _source
    _source = source or (lambda: datetime.now(UTC))


def from_timestamp(seconds: int) -> datetime:
    """A chain's unit of time: seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def to_milliseconds(moment: datetime | None) -> int | None:
    """Rayment's unit of time: milliseconds since 1970."""
    return None if moment is None else int(moment.timestamp() * 1000)


def to_iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, to the microsecond where there are any."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
