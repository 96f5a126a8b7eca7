"""What all bodies and queries of the dialect share."""

from marshmallow import EXCLUDE, Schema, fields, validate

OFFSET_MOST = 10_000_000


class Loose(Schema):
    """Unknown fields are passed over, as the reference does."""

    class Meta:
        unknown = EXCLUDE


class PageSchema(Loose):
    """Which rows of a list."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1000))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, OFFSET_MOST))
