"""A dialect is a value: who owns a path, and how its answers and errors look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Flask, Request, Response, jsonify, request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException
from werkzeug.routing.exceptions import WebsocketMismatch

from app.api.context import FORM, json_value
from app.api.limits import Rule
from app.errors import InvalidInput, LightyardError

log = structlog.get_logger()
ErrorBody = Callable[[str, str, dict[str, Any]], dict[str, Any]]
HTTP_CODES = {
    400: "INVALID_INPUT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "INVALID_INPUT",
    429: "RATE_LIMITED",
}


class BadRequestParser(FlaskParser):
    """For dialects whose invalid fields are 400, in their OpenAPI file too."""

    DEFAULT_VALIDATION_STATUS = 400

    def _raw_load_json(self, req: Request) -> Any:
        """A body under another content type is read all the same: what was sent must not be passed over in silence."""
        if req.is_json or (req.mimetype != FORM and not req.get_data()):
            return super()._raw_load_json(req)
        return json_value()


KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate", "Content-Range")

ENVELOPE_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "details": {"type": "object"}},
        }
    },
}


OTHER = "other"


@dataclass(frozen=True, slots=True)
class Dialect:
    """`prefixes` are the paths it owns, `error_body(code, message, details)` its envelope, `invalid_status` its 400 or 422,
    `limit(method, path)` its document's rate limits, `takes_forms`: one of them may be as large as a scene; `title` its name
    for people. `introduction`, `error_schema`, further `schemas` (JSON Schema by name) and `security_schemes` go into its
    OpenAPI file."""

    name: str
    prefixes: tuple[str, ...]
    error_body: ErrorBody
    invalid_status: int = 400
    limit: Rule | None = None
    takes_forms: bool = True
    title: str = ""
    introduction: str = ""
    error_schema: Mapping[str, Any] = field(default_factory=lambda: ENVELOPE_SCHEMA)
    schemas: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    security_schemes: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def envelope(code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """The error body of our own protocols, RNP-019 and RoboCompute."""
    return {"error": {"code": code, "message": message, "details": details}}


def owner_of(path: str, dialects: tuple[Dialect, ...]) -> Dialect:
    """404 and 405 carry no blueprint, so the longest owned prefix decides; the first dialect owns the rest."""
    return _owner_of(path, dialects) or dialects[0]


def name_of(path: str, dialects: tuple[Dialect, ...]) -> str:
    """The name of the dialect that owns a path, for metrics; `other` for what nobody owns."""
    owner = _owner_of(path, dialects)
    return OTHER if owner is None else owner.name


def _owner_of(path: str, dialects: tuple[Dialect, ...]) -> Dialect | None:
    owned = [
        (len(prefix), dialect)
        for dialect in dialects
        for prefix in dialect.prefixes
        if path == prefix or path.startswith(prefix.rstrip("/") + "/")
    ]
    return max(owned, key=lambda pair: pair[0])[1] if owned else None


def install_errors(app: Flask, dialects: tuple[Dialect, ...]) -> None:
    """Render every error in the envelope of the dialect that owns the path. Installed last: flask-smorest has its own."""

    def answer(code: str, message: str, details: dict[str, Any], status: int) -> tuple[Response, int]:
        return jsonify(owner_of(request.path, dialects).error_body(code, message, details)), status

    @app.errorhandler(LightyardError)
    def on_refusal(error: LightyardError) -> tuple[Response, int]:
        if error.status >= 500:
            log.warning("request.unavailable", code=error.code, path=request.path, message=error.message)
        dialect = owner_of(request.path, dialects)
        status = dialect.invalid_status if isinstance(error, InvalidInput) else error.status
        response, status = answer(error.code, error.message, error.details, status)
        if "retry_after" in error.details:
            response.headers["Retry-After"] = str(error.details["retry_after"])
        return response, status

    @app.errorhandler(HTTPException)
    def on_http(error: HTTPException) -> tuple[Response, int]:
        status = error.code or 500
        fields = (getattr(error, "data", None) or {}).get("messages") or {}
        message = _flatten(fields) or error.description or error.name
        if isinstance(error, WebsocketMismatch):
            message = "This address is a websocket: open it as one (Upgrade: websocket)"
        if status in (400, 422):
            status = owner_of(request.path, dialects).invalid_status
        response, status = answer(HTTP_CODES.get(status, "ERROR"), message, {"fields": fields} if fields else {}, status)
        response.headers.extend((name, value) for name, value in error.get_headers() if name in KEPT_HEADERS)
        return response, status

    @app.errorhandler(Exception)
    def on_crash(error: Exception) -> tuple[Response, int]:
        log.exception("request.crashed", path=request.path)
        return answer("INTERNAL", "Something went wrong on our side; it was logged. Try again.", {}, 500)


def _flatten(fields: Any, path: str = "") -> str:
    """marshmallow's nested messages as one line that names each field."""
    if isinstance(fields, dict):
        skip = ("json", "form", "query", "_schema")
        parts = (_flatten(value, path if key in skip else f"{path}.{key}".strip(".")) for key, value in fields.items())
        return "; ".join(part for part in parts if part)
    text = " ".join(str(item) for item in fields) if isinstance(fields, list) else str(fields)
    return f"{path}: {text}" if path else text
