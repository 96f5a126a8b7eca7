"""What is asked and shown of a job's frames."""

from marshmallow import Schema, fields, validate

from app.api.rnp019.frame_words import WORDS
from app.api.rnp019.schemas.loose import Loose

RANGES = {"description": "which frames, as in a job's order: 7, 1-250, 1,3,5-9:2", "example": "1-10"}


class FramesQuerySchema(Loose):
    frames = fields.String(load_default=None, allow_none=True, metadata=RANGES)


class FrameSchema(Schema):
    frame = fields.Integer(required=True)
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    seconds = fields.Float(required=True, allow_none=True, metadata={"description": "null until it is rendered"})
    cost = fields.String(
        required=True, allow_none=True, metadata={"description": "in the job's asset; null until known", "example": "0.05000000"}
    )
    attempts = fields.Integer(required=True, metadata={"description": "how often a node took it"})


class FramesSchema(Schema):
    job_id = fields.UUID(required=True)
    asset = fields.String(required=True, metadata={"description": "of every cost"})
    current_cost = fields.String(required=True, metadata={"description": "of all frames, as the ledger has it"})
    frames = fields.List(fields.Nested(FrameSchema), required=True)
    count = fields.Integer(required=True)
