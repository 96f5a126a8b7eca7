"""From one day to another, in a query."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.api.robocompute.schemas.loose import CURRENCIES, PageSchema
from app.core.statements import Span

FIRST_YEAR, LAST_YEAR = 1970, 9998


class Bound(fields.Field[datetime]):
    """A day as YYYY-MM-DD, or a moment in ISO 8601, in UTC where it names no offset. As an end, a day counts to its own end."""

    def __init__(self, *, is_end: bool, **options: Any) -> None:
        self.is_end = is_end
        super().__init__(load_default=None, metadata={"type": "string", "example": "2025-01-31"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime:
        try:
            return self._day(date.fromisoformat(value)) if len(value) == 10 else self._moment(datetime.fromisoformat(value))
        except (ValueError, TypeError, OverflowError):
            raise ValidationError("must be a day such as 2025-01-31, or a moment in ISO 8601") from None

    def _day(self, day: date) -> datetime:
        _assert_sane(day.year)
        return datetime.combine(day + timedelta(days=1) if self.is_end else day, time(), UTC)

    @staticmethod
    def _moment(moment: datetime) -> datetime:
        _assert_sane(moment.year)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _assert_sane(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(year)


class SpanSchema(PageSchema):
    """Both ends are part of it; without one it has no end there."""

    start_date = Bound(is_end=False)
    end_date = Bound(is_end=True)
    currency = fields.String(load_default=None, validate=validate.OneOf(CURRENCIES))

    @validates_schema
    def begins_before_it_ends(self, data: dict[str, Any], **_: Any) -> None:
        start, end = data.get("start_date"), data.get("end_date")
        if start is not None and end is not None and start > end:
            raise ValidationError("lies before start_date", "end_date")


def span_of(query: dict[str, Any]) -> Span:
    return Span(query["start_date"], query["end_date"])


def assets_of(query: dict[str, Any]) -> tuple[str, ...]:
    """The assets that are meant: the one that was named, or all."""
    return (query["currency"],) if query["currency"] else CURRENCIES
