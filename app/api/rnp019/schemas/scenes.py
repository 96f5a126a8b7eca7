"""Bodies of /rnp/v1/scenes."""

from marshmallow import Schema, fields, validate

from app.api.rnp019.schemas.loose import Loose
from app.values.states import SceneState

STATUSES = tuple(state.value for state in SceneState)


class SceneOrderSchema(Loose):
    sha256 = fields.String(
        required=True, validate=validate.Regexp(r"[0-9a-fA-F]{64}\Z"), metadata={"description": "of the file, in hex"}
    )
    size_bytes = fields.Integer(required=True, strict=True, validate=validate.Range(1, 2**53))
    name = fields.String(required=True, validate=validate.Length(1, 255), metadata={"example": "scene.blend"})


class FrameRangeSchema(Schema):
    start = fields.Integer(required=True, allow_none=True)
    end = fields.Integer(required=True, allow_none=True)


class ResolutionSchema(Schema):
    width = fields.Integer(required=True, allow_none=True)
    height = fields.Integer(required=True, allow_none=True)


class InspectionSchema(Schema):
    """What Blender saw when a node opened the file, without running anything in it. A member is null where it does not say."""

    cameras = fields.List(fields.String(), required=True)
    active_camera = fields.String(required=True, allow_none=True)
    frame_range = fields.Nested(FrameRangeSchema, required=True)
    fps = fields.Float(required=True, allow_none=True)
    engine = fields.String(required=True, allow_none=True)
    resolution = fields.Nested(ResolutionSchema, required=True)
    samples = fields.Integer(required=True, allow_none=True)
    output_format = fields.String(required=True, allow_none=True)
    missing_files = fields.List(fields.String(), required=True, metadata={"description": "as the scene names them"})
    libraries = fields.List(fields.String(), required=True, metadata={"description": "linked files, missing or not"})
    scripts = fields.List(fields.String(), required=True, metadata={"description": "texts that would run; they are not run"})
    drivers = fields.Integer(required=True, allow_none=True)
    objects = fields.Integer(required=True, allow_none=True)
    blender_version = fields.String(required=True, allow_none=True, metadata={"description": "which Blender saved it"})
    estimated_memory_bytes = fields.Integer(required=True, allow_none=True)
    warnings = fields.List(fields.String(), required=True, metadata={"description": "the most important first"})


class SceneErrorSchema(Schema):
    code = fields.String(required=True)
    message = fields.String(required=True)


class SceneSchema(Schema):
    id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    name = fields.String(required=True)
    sha256 = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    received_bytes = fields.Integer(required=True, metadata={"description": "an upload goes on from there"})
    format = fields.String(required=True, allow_none=True, metadata={"description": "null until the bytes are there"})
    upload_url = fields.String(
        metadata={"description": "while it is `uploading`: PUT the bytes there, or send them in parts (tus 1.0.0: HEAD, PATCH)"}
    )
    expires_at = fields.String(metadata={"format": "date-time", "description": "the end of `upload_url`"})
    error = fields.Nested(SceneErrorSchema, required=True, allow_none=True, metadata={"description": "why it was rejected"})
    warnings = fields.List(fields.String(), required=True)
    inspection = fields.Nested(InspectionSchema, required=True, allow_none=True, metadata={"description": "null until `ready`"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})


class SceneFormSchema(Schema):
    """For the OpenAPI file alone: a form is read as it comes."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary", "description": "the scene, with its name"})
