"""Bodies of /api/v1/uploads."""

from marshmallow import Schema, fields, validate

from app.api.rendertrust.schemas.loose import Loose


class UploadOrderSchema(Loose):
    filename = fields.String(required=True, validate=validate.Length(1, 255), metadata={"example": "scene.blend"})
    size_bytes = fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**53))
    content_type = fields.String(
        required=True,
        validate=validate.Regexp(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z"),
        metadata={"example": "application/octet-stream"},
    )
    sha256 = fields.String(load_default=None, allow_none=True, validate=validate.Regexp(r"[0-9a-fA-F]{64}\Z"))


class UploadSchema(Schema):
    upload_id = fields.UUID(required=True)
    upload_url = fields.String(required=True, metadata={"description": "PUT the bytes here"})
    payload_ref = fields.String(required=True, metadata={"description": "what a job names them by", "example": "upload:…"})
    expires_in = fields.Integer(required=True, metadata={"description": "seconds"})
