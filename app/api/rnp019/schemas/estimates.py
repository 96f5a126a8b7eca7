"""Bodies of /rnp/v1/estimates and /rnp/v1/tiers."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.rnp019.schemas.amounts import Amount
from app.api.rnp019.schemas.loose import Loose
from app.api.rnp019.schemas.render_settings import RenderSettingsSchema
from app.core import render_probes
from app.core.estimates import PAID_WITH
from app.values.frame_times import GUESSED, MEASURED, PROBED
from app.values.frames import TEXT_LIMIT_CHARS
from app.values.render_tiers import TIERS

DEFAULT_ASSET = "RCREDIT"


class PaidWithSchema(Loose):
    asset = fields.String(validate=validate.OneOf(PAID_WITH))


class EstimateOrderSchema(Loose):
    """The body of the job that would be ordered; what does not matter for its price is passed over."""

    scene_id = fields.UUID(load_default=None, allow_none=True, metadata={"description": "of POST /rnp/v1/scenes"})
    prompt = fields.String(load_default=None, allow_none=True, metadata={"description": "as in a job"})
    frames = fields.String(
        load_default="1", validate=validate.Length(max=TEXT_LIMIT_CHARS), metadata={"example": "1,3,5-9:2"}
    )
    settings = fields.Nested(RenderSettingsSchema, load_default=lambda: RenderSettingsSchema().load({}))
    asset = fields.String(validate=validate.OneOf(PAID_WITH), metadata={"description": "what it would be paid with"})
    payment = fields.Nested(PaidWithSchema, load_default=dict)
    probe = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={
            "description": "render two small frames first if these bytes were never rendered: free, so many a day; needs the "
            "scope `jobs:write`. What is not done at once goes on: ask again"
        },
    )

    @validates_schema
    def has_one_source(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("scene_id") is None) == (data.get("prompt") is None):
            raise ValidationError("give either a scene_id or a prompt", "scene_id")


class AvailabilitySchema(Schema):
    """What is there for a tier now."""

    nodes = fields.Integer(required=True, metadata={"description": "that are there and fit"})
    nodes_free = fields.Integer(required=True, metadata={"description": "of them, that do nothing now"})
    queued = fields.Integer(required=True, metadata={"description": "frames that go before a new one"})
    rendering = fields.Integer(required=True, metadata={"description": "frames that nodes have now"})
    wait_seconds = fields.Float(
        required=True, allow_none=True, metadata={"description": "until a new frame is begun; null while no node fits"}
    )
    wait_seconds_high = fields.Float(required=True, allow_none=True, metadata={"description": "if all takes longer"})


class TierEstimateSchema(Schema):
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    asset = fields.String(required=True)
    cost = Amount(required=True, metadata={"description": "what is held or prepaid; it never costs more"})
    expected_cost = Amount(required=True, metadata={"description": "what it will probably cost; the rest of `cost` comes back"})
    price_per_hour = Amount(required=True, metadata={"description": "of one node"})
    rate = fields.String(required=True, metadata={"description": "units of the asset for one RENDER"})
    seconds = fields.Float(required=True, metadata={"description": "from the order until the last frame is there"})
    seconds_low = fields.Float(required=True)
    seconds_high = fields.Float(required=True, metadata={"description": "its error bar, from `seconds_low` to here"})
    frame_seconds = fields.Float(required=True, metadata={"description": "of one node for one frame"})
    availability = fields.Nested(AvailabilitySchema, required=True)


class EstimatesSchema(Schema):
    scene_id = fields.UUID(required=True, allow_none=True, metadata={"description": "null of a prompt"})
    frames_total = fields.Integer(required=True)
    settings = fields.Dict(required=True, metadata={"description": "with what was left out as the scene has it"})
    basis = fields.String(
        required=True,
        validate=validate.OneOf((MEASURED, PROBED, GUESSED)),
        metadata={
            "description": "`measured`: frames of these very bytes were rendered before, with these settings or others; "
            "`probed`: one small frame was, to see; `guessed`: from resolution and samples alone. Of a prompt: pictures or "
            "videos were made before, or none"
        },
    )
    probe = fields.String(
        allow_none=True,
        required=True,
        validate=validate.OneOf(render_probes.WORDS),
        metadata={"description": "what became of the probe; null where none was asked for"},
    )
    estimates = fields.List(fields.Nested(TierEstimateSchema), required=True)
    warnings = fields.List(fields.String(), required=True)


class TierSchema(AvailabilitySchema):
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))
    asset = fields.String(required=True)
    price_per_hour = Amount(required=True, metadata={"description": "of one node"})
    multiplier = fields.String(required=True)
    wait_seconds_most = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "a frame that has waited so long goes before all others; null: the tier has no such bound"},
    )


class TiersSchema(Schema):
    tiers = fields.List(fields.Nested(TierSchema), required=True)
    count = fields.Integer(required=True)
