"""Bodies of /providers/{provider_id}/staking."""

from marshmallow import Schema, fields, validate

from app.api.robocompute.schemas.loose import CURRENCIES, Amount, Loose
from app.values.states import UnstakingState

MOMENT = {"format": "date-time"}


class CurrencySchema(Loose):
    currency = fields.String(load_default="USDC", validate=validate.OneOf(CURRENCIES))


class StakeOrderSchema(CurrencySchema):
    amount = Amount(required=True)


class UnstakingSchema(Schema):
    unstake_id = fields.UUID(required=True)
    amount = Amount(required=True)
    status = fields.String(required=True, validate=validate.OneOf([state.value for state in UnstakingState]))
    available_at = fields.String(
        required=True, metadata={**MOMENT, "description": "no earlier, and not while open disputes need so much of the stake"}
    )
    released_amount = Amount(required=True, allow_none=True, metadata={"description": "what came back, once it did"})
    created_at = fields.String(required=True, metadata=MOMENT)


class SlashingEventSchema(Schema):
    code = fields.String(required=True, validate=validate.OneOf(["SLASHING_EVENT"]))
    dispute_id = fields.UUID(required=True)
    task_id = fields.UUID(required=True)
    amount = Amount(required=True, metadata={"description": "the task's cost and the penalty"})
    owed = Amount(required=True, metadata={"description": "of that, what the next earnings pay: stake and balance could not"})
    reason = fields.String(required=True)
    created_at = fields.String(required=True, metadata=MOMENT)


class StakeSchema(Schema):
    staked_amount = Amount(required=True)
    currency = fields.String(required=True, validate=validate.OneOf(CURRENCIES))
    minimum_required = Amount(required=True, metadata={"description": "to take on tasks that are paid in this currency"})
    is_sufficient = fields.Boolean(required=True)
    unstaking_amount = Amount(required=True, metadata={"description": "on its way back; it no longer counts"})
    at_risk_amount = Amount(required=True, metadata={"description": "what open disputes may take"})


class StakeStatusSchema(StakeSchema):
    unstakings = fields.List(fields.Nested(UnstakingSchema), required=True)
    slashing_events = fields.List(fields.Nested(SlashingEventSchema), required=True)


class UnstakedSchema(StakeSchema, UnstakingSchema):
    """What was asked back, and what is staked now."""
