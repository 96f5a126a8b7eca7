"""Bodies of /rnp/v1/jobs."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.rnp019.job_words import WORDS
from app.api.rnp019.schemas.amounts import Amount
from app.api.rnp019.schemas.loose import Loose
from app.api.rnp019.schemas.payments import PaymentSchema
from app.api.rnp019.schemas.render_settings import RenderSettingsSchema
from app.core.estimates import PAID_WITH
from app.core.render_orders import CREDITS, MODES
from app.values.frames import TEXT_LIMIT_CHARS
from app.values.render_tiers import BAND, PRIORITY, TIERS

NAME_LIMIT_CHARS = 200
PAGE_MOST, OFFSET_MOST = 1000, 10_000_000


def _name(**options: Any) -> fields.String:
    return fields.String(validate=validate.Length(max=NAME_LIMIT_CHARS), metadata={"example": "Opening shot"}, **options)


def _priority(**options: Any) -> fields.Integer:
    said = "the higher, the sooner, among what is in the same tier; may be changed at any time"
    return fields.Integer(strict=True, validate=validate.Range(-BAND, BAND), metadata={"description": said}, **options)


def _moment() -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


class PaymentTermsSchema(Loose):
    mode = fields.String(
        load_default=CREDITS,
        validate=validate.OneOf(MODES),
        metadata={
            "description": "`credits`: from the balance of `asset`, set aside now. `prepay`: the answer says where to pay, and "
            "the job begins once that is there. `pay_before_download`: rendered first, within a bound for each account; "
            "pictures are given out once they are paid, watermarked previews before"
        },
    )
    asset = fields.String(load_default="RCREDIT", validate=validate.OneOf(PAID_WITH))
    max_amount = Amount(
        load_default=None,
        allow_none=True,
        metadata={"description": "in `asset`: more is never charged; if it covers no other frame the job pauses and asks"},
    )


class JobOrderSchema(Loose):
    """Either a `scene_id` or a `prompt`."""

    name = _name(load_default="")
    scene_id = fields.UUID(load_default=None, allow_none=True, metadata={"description": "of POST /rnp/v1/scenes"})
    prompt = fields.String(
        load_default=None,
        allow_none=True,
        metadata={
            "example": "a lighthouse in a storm, oil on canvas",
            "description": "each frame is a picture of its own (PNG), or with `output_format` MP4 all are one video; of "
            "`settings` width, height, quality, output_format and fps count",
        },
    )
    frames = fields.String(
        load_default="1",
        validate=validate.Length(max=TEXT_LIMIT_CHARS),
        metadata={"example": "1,3,5-9:2", "description": "frames, ranges, steps; overlaps count once, negative frames are valid"},
    )
    settings = fields.Nested(RenderSettingsSchema, load_default=lambda: RenderSettingsSchema().load({}))
    tier = fields.String(load_default=PRIORITY, validate=validate.OneOf(TIERS))
    priority = _priority(load_default=0)
    payment = fields.Nested(PaymentTermsSchema, load_default=lambda: PaymentTermsSchema().load({}))

    @validates_schema
    def has_one_source(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("scene_id") is None) == (data.get("prompt") is None):
            raise ValidationError("give either a scene_id or a prompt", "scene_id")


class NewCapSchema(Loose):
    max_amount = Amount(required=True)


class JobChangeSchema(Loose):
    """What is left out stays. `max_amount` may stand in `payment`, as in the order, or by itself."""

    name = _name()
    priority = _priority()
    max_amount = Amount(metadata={"description": "a job that has paused for it goes on if it covers another frame"})
    payment = fields.Nested(NewCapSchema)

    @validates_schema
    def says_something_and_once(self, data: dict[str, Any], **_: Any) -> None:
        if "payment" in data and "max_amount" in data:
            raise ValidationError("give max_amount once", "max_amount")
        if not data:
            raise ValidationError("nothing to change: give name, priority or max_amount", "name")


class JobsQuerySchema(Loose):
    status = fields.String(load_default=None, validate=validate.OneOf(WORDS))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, PAGE_MOST))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, OFFSET_MOST))


class AllocationSchema(Schema):
    """How many of the job's units may be queued or with nodes at once, and why: the owner's reputation (0 to 1), what the scene
    needs, and the nodes that are there."""

    explanation = fields.String(required=True)
    units_at_once = fields.Integer(required=True)
    nodes = fields.Integer(required=True)
    nodes_fitting = fields.Integer(required=True)
    nodes_free = fields.Integer(required=True)
    nodes_blocked = fields.Integer(required=True, metadata={"description": "failed too often at this job, and get no more of it"})
    units_per_node = fields.Integer(required=True)
    reputation = fields.Float(required=True)
    scene_memory_bytes = fields.Integer(required=True, metadata={"description": "0: not known"})
    frame_seconds = fields.Float(required=True, metadata={"description": "measured, or expected"})


class ReasonSchema(Schema):
    code = fields.String(required=True, metadata={"example": "MAX_AMOUNT_REACHED"})
    message = fields.String(required=True)


class JobSchema(Schema):
    """What only renders of this API have is null for a job of another one."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    api = fields.String(required=True, metadata={"description": "where it was ordered, and may be changed", "example": "rnp019"})
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    reason = fields.Nested(ReasonSchema, required=True, allow_none=True)
    scene_id = fields.UUID(required=True, allow_none=True)
    prompt = fields.String(required=True, allow_none=True)
    frames = fields.String(required=True, metadata={"example": "1-24"})
    frames_total = fields.Integer(required=True)
    frames_completed = fields.Integer(required=True)
    progress = fields.Float(required=True, metadata={"description": "0 to 1"})
    settings = fields.Dict(required=True)
    tier = fields.String(required=True, allow_none=True)
    priority = fields.Integer(required=True)
    current_cost = Amount(required=True, metadata={"description": "what its frames were charged, as in the ledger"})
    asset = fields.String(required=True)
    payment_mode = fields.String(required=True, allow_none=True)
    estimated_cost = Amount(required=True, metadata={"description": "what was quoted: more is never charged"})
    max_amount = Amount(required=True, allow_none=True)
    price_per_hour = Amount(required=True, allow_none=True, metadata={"description": "of one node"})
    rate = fields.String(required=True, allow_none=True, metadata={"description": "of the asset for one RENDER, as ordered"})
    settled = fields.Boolean(required=True, allow_none=True, metadata={"description": "whether all that was charged is paid"})
    allocation = fields.Nested(AllocationSchema, required=True, allow_none=True)
    payment = fields.Nested(PaymentSchema, metadata={"description": "of one that is, or was, to be paid on a chain"})
    warnings = fields.List(fields.String(), required=True)
    created_at = _moment()
    started_at = _moment()
    ended_at = _moment()


class JobsSchema(Schema):
    jobs = fields.List(fields.Nested(JobSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "jobs in this page"})
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)
