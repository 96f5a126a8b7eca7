"""Addresses, moments and ids in bodies."""

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.api.cocoon import wallets
from app.api.cocoon.identifiers import ID_MOST
from app.errors import InvalidInput
from app.values import clock

FIRST_MOMENT = datetime(2019, 1, 1, tzinfo=UTC)  # TON has no older block
AHEAD = timedelta(hours=1)  # of clocks that differ


class Wallet(fields.String):
    """A TON address in any form, read as the raw one and shown non-bounceable."""

    def __init__(self, **options: Any) -> None:
        metadata = {"description": "TON address: raw, bounceable or non-bounceable", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return wallets.read(value)
        except InvalidInput as error:
            raise ValidationError(error.message) from None

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        return wallets.shown(value)


class Moment(fields.AwareDateTime):
    """A moment in UTC; one without an offset is UTC. Written in ISO 8601 with a Z."""

    def __init__(self, *, ahead: timedelta = AHEAD, **options: Any) -> None:
        self.ahead = ahead
        super().__init__(format="iso", default_timezone=UTC, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        found = super()._deserialize(value, attr, data, **options)
        try:
            moment = found.astimezone(UTC)
        except OverflowError:
            raise ValidationError("lies outside of time") from None
        if not FIRST_MOMENT <= moment <= clock.now() + self.ahead:
            raise ValidationError("must lie after 2018, and not so far ahead")
        return moment

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        return clock.to_iso(value)


def asked_id() -> fields.Integer:
    """The integer id of a row, in a query; None without it."""
    return fields.Integer(load_default=None, validate=validate.Range(1, ID_MOST))


def row_id(**options: Any) -> fields.Integer:
    """The integer id of a row, in a body."""
    return fields.Integer(strict=True, validate=validate.Range(1, ID_MOST), **options)
