"""Blueprints whose JSON numbers are exact both ways: no float between a body and the database."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import simplejson
from flask import Response
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.wrappers import Response as AnyResponse

from app import greenlets
from app.api.context import FORM
from app.errors import InvalidInput
from app.values.json_text import read_exact_json

View = Callable[..., Any]


class ExactParser(FlaskParser):
    """Reads a body whatever its content type says, with Decimals for numbers that have a point."""

    def _raw_load_json(self, req: Any) -> Any:
        if req.mimetype == FORM:
            raise InvalidInput("the body must be JSON, not a form", code="INVALID_JSON")
        return read_exact_json(req.get_data())


class ExactBlueprint(Blueprint):
    """flask-smorest's, with Decimals and `Plain` numbers of an answer written as they are."""

    ARGUMENTS_PARSER = ExactParser()

    def response(self, status_code: Any, schema: Any = None, **options: Any) -> Callable[[View], View]:
        """As flask-smorest's; a view that returns a Response of its own is left alone."""
        documented = super().response(status_code, schema, **options)
        shape = schema() if isinstance(schema, type) else schema
        is_read = hasattr(shape, "dump")

        def decorate(view: View) -> View:
            @wraps(view)
            def answered(*args: Any, **kwargs: Any) -> Any:
                found = view(*args, **kwargs)
                if not is_read or isinstance(found, AnyResponse):
                    return found
                text = simplejson.dumps(_dumped(shape, found), use_decimal=True)
                return Response(text, int(status_code), mimetype="application/json")

            return documented(answered)  # type: ignore[no-any-return]

        return decorate


def _dumped(shape: Any, found: Any) -> Any:
    """By its schema; a list may be long, and others have their turn in between."""
    return [shape.dump(row, many=False) for row in greenlets.in_turns(found)] if shape.many else shape.dump(found)
