"""What all request bodies of the dialect share."""

from marshmallow import EXCLUDE, Schema


class Loose(Schema):
    """Unknown fields are passed over, so that newer clients can talk to older hubs."""

    class Meta:
        unknown = EXCLUDE
