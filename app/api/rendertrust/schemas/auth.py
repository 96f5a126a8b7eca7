"""Bodies of /api/v1/auth."""

from marshmallow import Schema, fields, validate

from app.api.rendertrust.schemas.loose import Loose
from app.values.emails import EMAIL_LIMIT_CHARS
from app.values.passwords import PASSWORD_LEAST_CHARS, PASSWORD_LIMIT_CHARS

NAME_LIMIT_CHARS = 255


class RegistrationSchema(Loose):
    email = fields.String(required=True, metadata={"format": "email", "example": "user@example.com"})
    name = fields.String(required=True, validate=validate.Length(1, NAME_LIMIT_CHARS), metadata={"example": "Jane Smith"})
    password = fields.String(
        required=True,
        validate=validate.Length(PASSWORD_LEAST_CHARS, PASSWORD_LIMIT_CHARS),
        metadata={"format": "password", "example": "securepassword123"},
    )


class LoginSchema(Loose):
    email = fields.String(required=True, validate=validate.Length(max=EMAIL_LIMIT_CHARS), metadata={"format": "email"})
    password = fields.String(
        required=True, validate=validate.Length(max=PASSWORD_LIMIT_CHARS), metadata={"format": "password"}
    )


class RefreshSchema(Loose):
    refresh_token = fields.String(required=True)  # of whatever length: a bad token is 401


class UserSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    is_active = fields.Boolean(required=True)


class TokensSchema(Schema):
    access_token = fields.String(required=True, metadata={"description": "good for 30 minutes"})
    refresh_token = fields.String(required=True, metadata={"description": "good once, for 7 days"})
    token_type = fields.String(required=True, metadata={"example": "bearer"})


class RegisteredSchema(Schema):
    user = fields.Nested(UserSchema, required=True)
    tokens = fields.Nested(TokensSchema, required=True)


class MessageSchema(Schema):
    message = fields.String(required=True)
