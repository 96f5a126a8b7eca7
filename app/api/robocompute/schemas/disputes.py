"""Bodies of disputes."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.robocompute.schemas.loose import Amount, Loose, PageSchema
from app.models.disputes import GROUNDS
from app.values.states import DisputeState

TEXT_LIMIT_CHARS = 2000
STATUSES = [state.value for state in DisputeState]
MOMENT = {"format": "date-time"}
_TEXT = validate.Length(1, TEXT_LIMIT_CHARS)


class ComplaintSchema(Loose):
    grounds = fields.String(
        load_default="other",
        validate=validate.OneOf(GROUNDS),
        metadata={"description": "result_hash: it is not what its hash says; rerun: the same task gave another result elsewhere"},
    )
    reason = fields.String(required=True, validate=_TEXT)
    expected_hash = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"[0-9a-fA-F]{64}\Z", error="must be a SHA-256 in 64 hex digits"),
    )
    rerun_task_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "the same task, completed by another provider"}
    )

    @validates_schema
    def check_grounds(self, data: dict[str, Any], **_: Any) -> None:
        needed = {"result_hash": "expected_hash", "rerun": "rerun_task_id"}.get(data["grounds"])
        if needed is not None and data[needed] is None:
            raise ValidationError(f"is needed with the grounds {data['grounds']}", needed)


class FindingsSchema(Schema):
    """What the hub itself can say; null where there is nothing to compare."""

    result_hash = fields.String(required=True, allow_none=True)
    rerun_hash = fields.String(required=True, allow_none=True)
    matches_expected = fields.Boolean(required=True, allow_none=True)
    matches_stored = fields.Boolean(required=True, allow_none=True, metadata={"description": "once the stored bytes were read"})
    matches_rerun = fields.Boolean(required=True, allow_none=True)


class DisputeSchema(Schema):
    dispute_id = fields.UUID(required=True)
    task_id = fields.UUID(required=True)
    provider_id = fields.UUID(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    grounds = fields.String(required=True, validate=validate.OneOf(GROUNDS))
    reason = fields.String(required=True)
    expected_hash = fields.String(required=True, allow_none=True)
    rerun_task_id = fields.UUID(required=True, allow_none=True)
    amount = Amount(required=True, metadata={"description": "what the task cost: what comes back once it is slashed"})
    currency = fields.String(required=True)
    answer = fields.String(required=True, allow_none=True, metadata={"description": "the provider's"})
    answered_at = fields.String(required=True, allow_none=True, metadata=MOMENT)
    created_at = fields.String(required=True, metadata=MOMENT)
    decided_at = fields.String(required=True, allow_none=True, metadata=MOMENT)
    decision_reason = fields.String(required=True, allow_none=True)
    refunded = Amount(required=True, allow_none=True, metadata={"description": "came back at once"})
    owed = Amount(required=True, allow_none=True, metadata={"description": "comes back from the provider's next earnings"})
    penalty = Amount(required=True, allow_none=True)


class DisputeWithFindingsSchema(DisputeSchema):
    findings = fields.Nested(FindingsSchema, required=True)


class DisputesQuerySchema(PageSchema):
    status = fields.String(load_default=None, validate=validate.OneOf(STATUSES))


class DisputesSchema(Schema):
    disputes = fields.List(fields.Nested(DisputeSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "in this page"})


class AnswerSchema(Loose):
    answer = fields.String(required=True, validate=_TEXT)


class DecisionSchema(Loose):
    decision = fields.String(required=True, validate=validate.OneOf(["slash", "reject"]))
    reason = fields.String(required=True, validate=_TEXT)
    penalty = Amount(
        load_default=None, allow_none=True, metadata={"description": "with slash: beside the refund, from the stake for the hub"}
    )

    @validates_schema
    def check_penalty(self, data: dict[str, Any], **_: Any) -> None:
        if data["penalty"] and data["decision"] != "slash":
            raise ValidationError("goes with slash only", "penalty")
