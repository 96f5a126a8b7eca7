"""What a view needs of its process: the hub's parts, and one unit of work."""

from contextlib import AbstractContextManager
from typing import Any, cast

from flask import current_app, request

from app.db import Session
from app.errors import InvalidInput
from app.values.json_text import read_json
from app.wiring import Hub


def hub() -> Hub:
    return cast(Hub, current_app.extensions["lightyard"])


def unit_of_work() -> AbstractContextManager[Session]:
    return hub().database.unit_of_work()


def one_by_one() -> AbstractContextManager[Session]:
    return hub().database.one_by_one()


def read_only() -> AbstractContextManager[Session]:
    return hub().database.read_only()


def json_body() -> dict[str, Any]:
    """The request's JSON object, whatever its content type says, or a refusal that says what is wrong with it."""
    body = read_json(request.get_data())
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="INVALID_JSON")
    return body
