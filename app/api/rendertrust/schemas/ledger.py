"""Bodies of /api/v1/ledger."""

from datetime import UTC

from marshmallow import Schema, fields, validate

from app.api.rendertrust.schemas.loose import Loose
from app.values.states import AnchorState

PAGE_MOST = 100_000
HASH = {"description": "hex, without 0x", "example": "a1b2c3d4"}


class AnchorsQuerySchema(Loose):
    page = fields.Integer(load_default=1, validate=validate.Range(1, PAGE_MOST))
    per_page = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    since = fields.AwareDateTime(
        load_default=None,
        format="iso",
        default_timezone=UTC,
        metadata={"example": "2026-03-01T00:00:00Z", "description": "trees built from then on; UTC where it names no zone"},
    )


class ProofSchema(Schema):
    entry_id = fields.Integer(required=True)
    merkle_root = fields.String(required=True, metadata=HASH)
    proof_hashes = fields.List(fields.String(), required=True, metadata={"description": "siblings, from the leaf up"})
    directions = fields.List(
        fields.String(validate=validate.OneOf(["left", "right"])),
        required=True,
        metadata={"description": "the side on which each sibling stands"},
    )
    anchor_tx_hash = fields.String(required=True, allow_none=True, metadata={"description": "null until it is in a block"})
    block_number = fields.Integer(required=True, allow_none=True)
    leaf = fields.String(required=True, metadata={"description": "canonical JSON text; its UTF-8 bytes are the leaf"})
    leaf_hash = fields.String(required=True, metadata={"description": "SHA-256 of 0x00 and the leaf"})
    leaf_index = fields.Integer(required=True)
    tree_size = fields.Integer(required=True)
    chain_id = fields.Integer(required=True, allow_none=True)
    anchor_status = fields.String(required=True, validate=validate.OneOf(list(AnchorState)))


class DifferenceSchema(Schema):
    entry_id = fields.Integer(required=True, allow_none=True)
    fields_ = fields.List(fields.String(), required=True, data_key="fields", attribute="fields")
    message = fields.String(required=True)


class VerdictSchema(Schema):
    verified = fields.Boolean(required=True)
    entry_id = fields.Integer(required=True)
    merkle_root = fields.String(required=True, metadata=HASH)
    on_chain_root = fields.String(required=True, allow_none=True)
    block_number = fields.Integer(required=True, allow_none=True)
    tx_hash = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "why it is not verified"})
    first_difference = fields.Nested(
        DifferenceSchema, required=True, allow_none=True, metadata={"description": "the tree's first changed row"}
    )


class AnchorSchema(Schema):
    id = fields.Integer(required=True)
    merkle_root = fields.String(required=True, metadata=HASH)
    tree_size = fields.Integer(required=True)
    first_entry_id = fields.Integer(required=True)
    last_entry_id = fields.Integer(required=True)
    status = fields.String(required=True, validate=validate.OneOf(list(AnchorState)))
    chain_id = fields.Integer(required=True, allow_none=True)
    tx_hash = fields.String(required=True, allow_none=True)
    block_number = fields.Integer(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    anchored_at = fields.AwareDateTime(required=True, allow_none=True)


class AnchorsSchema(Schema):
    anchors = fields.List(fields.Nested(AnchorSchema), required=True)
    count = fields.Integer(required=True, metadata={"description": "rows on this page"})
    total = fields.Integer(required=True)
    page = fields.Integer(required=True)
    per_page = fields.Integer(required=True)
