"""What a view needs of its process: the hub's parts, and one unit of work."""

from contextlib import AbstractContextManager
from typing import Any, cast

from flask import current_app, request

from app.db import Session
from app.errors import InvalidInput
from app.values.json_text import read_json
from app.wiring import Hub

FORM = "multipart/form-data"


def hub() -> Hub:
    return cast(Hub, current_app.extensions["lightyard"])


def unit_of_work() -> AbstractContextManager[Session]:
    return hub().database.unit_of_work()


def one_by_one() -> AbstractContextManager[Session]:
    return hub().database.one_by_one()


def read_only() -> AbstractContextManager[Session]:
    return hub().database.read_only()


def json_value() -> Any:
    """The request's JSON, whatever its content type says. A form is refused unread: it may be as large as a scene."""
    if request.mimetype == FORM:
        raise InvalidInput("the body must be JSON, not a form", code="INVALID_JSON")
    return read_json(request.get_data())


def json_body() -> dict[str, Any]:
    """The request's JSON object, whatever its content type says, or a refusal that says what is wrong with it."""
    body = json_value()
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="INVALID_JSON")
    return body
