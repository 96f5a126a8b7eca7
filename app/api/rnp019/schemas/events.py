"""What is asked of a job's events."""

from marshmallow import fields

from app.api.rnp019.schemas.loose import Loose


class EventsQuerySchema(Loose):
    after = fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "the id of the last event seen, for clients that can't send Last-Event-ID", "example": "17"},
    )
