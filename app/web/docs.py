"""Pages for people: every dialect's OpenAPI file, shown without anything from elsewhere, and tried from the browser."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flask import Blueprint, Flask, Response, abort, jsonify, make_response, render_template

Spec = Callable[[], dict[str, Any]]
METHODS = ("get", "post", "put", "patch", "delete")
MAX_DEPTH = 6
# Nothing from elsewhere, no inline script or style: what a dialect's document says can never run here.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One member of a body: how deep it lies, its name, type, whether it must be there, and what is said of it."""

    depth: int
    name: str
    type: str
    required: bool
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """A request's or an answer's body: its media type, its members, and an example in JSON."""

    media: str
    rows: list[Row]
    example: str


@dataclass(slots=True)
class Operation:
    """One method of one path, ready to be shown."""

    id: str
    method: str
    path: str
    summary: str
    text: str
    parameters: list[Row]
    request: Body | None
    answers: list[tuple[str, str, Body | None]] = field(default_factory=list)


def install(app: Flask, dialects: Mapping[str, tuple[str, Spec]], reading: str) -> None:
    """Serve /openapi/<dialect>.json, /docs, and /redoc of the dialect that has one; `dialects` are {name: (title, spec)}."""
    pages = Blueprint("docs", __name__, url_prefix="/docs", template_folder="templates", static_folder="static")
    specs = {name: cache(spec) for name, (_, spec) in dialects.items()}
    titles = {name: title for name, (title, _) in dialects.items()}

    @pages.get("")
    def index() -> Response:
        counts = {name: len(list(operations(spec()))) for name, spec in specs.items()}
        return _page("docs_index.html", titles=titles, counts=counts)

    @pages.get("/<name>")
    def dialect(name: str) -> Response:
        if name not in specs:
            abort(404, "There is no such API; /docs lists them all.")
        shown = list(operations(specs[name]()))
        return _page("docs_dialect.html", name=name, titles=titles, operations=shown, spec=specs[name]())

    app.register_blueprint(pages)

    @app.get("/redoc")
    def redoc() -> Response:
        shown = list(operations(specs[reading]()))
        return _page("docs_reading.html", name=reading, titles=titles, operations=shown, spec=specs[reading]())

    for name, spec in specs.items():
        _serve_file(app, name, spec)


def _page(template: str, **values: Any) -> Response:
    response = make_response(render_template(template, **values))
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _serve_file(app: Flask, name: str, spec: Spec) -> None:
    def describe() -> Response:
        return jsonify(spec())

    app.add_url_rule(f"/openapi/{name}.json", f"openapi_{name}", describe)


def operations(spec: dict[str, Any]) -> Iterator[Operation]:
    """Every operation of a document, in its order."""
    for path, item in spec.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield _operation(spec, path, method, item[method], item.get("parameters", []))


def _operation(spec: dict[str, Any], path: str, method: str, found: dict[str, Any], shared: list[Any]) -> Operation:
    parameters = [_resolve(spec, each) for each in (*shared, *found.get("parameters", []))]
    shown = Operation(
        id=f"{method}-{path}".replace("/", "-").replace("{", "").replace("}", ""),
        method=method.upper(),
        path=path,
        summary=found.get("summary", ""),
        text=found.get("description", ""),
        parameters=[
            Row(0, each["name"], f"{_type(spec, each.get('schema', {}))} in {each['in']}", each.get("required", False),
                each.get("description", ""))
            for each in parameters
        ],
        request=_body(spec, _resolve(spec, found.get("requestBody", {}))),
    )
    for code, answer in sorted(found.get("responses", {}).items(), key=lambda pair: _rank(str(pair[0]))):
        answer = _resolve(spec, answer)
        shown.answers.append((str(code), answer.get("description", ""), _body(spec, answer)))
    return shown


def _rank(code: str) -> tuple[int, str]:
    """What is wanted first, then errors, then all others."""
    return (2 if code == "default" else 0 if code[0] == "2" or code == "402" else 1), code


def _body(spec: dict[str, Any], holder: dict[str, Any]) -> Body | None:
    for media, content in holder.get("content", {}).items():
        schema = content.get("schema", {})
        example = content.get("example", _example(spec, schema, 0))
        return Body(media, list(_rows(spec, schema, 0)), json.dumps(example, indent=2))
    return None


def _resolve(spec: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Follow a $ref inside the document."""
    while "$ref" in found:
        target: Any = spec
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return found


def _type(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = _resolve(spec, schema)
    kind = schema.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if text == "array":
        text = f"list of {_type(spec, schema.get('items', {}))}"
    if "enum" in schema:
        text += ": " + ", ".join(str(value) for value in schema["enum"])
    return f"{text} ({schema['format']})" if "format" in schema else text


def _rows(spec: dict[str, Any], schema: dict[str, Any], depth: int) -> Iterator[Row]:
    schema = _resolve(spec, schema)
    if "items" in schema:
        schema = _resolve(spec, schema["items"])
    required = schema.get("required", [])
    for name, member in schema.get("properties", {}).items():
        resolved = _resolve(spec, member)
        yield Row(depth, name, _type(spec, member), name in required, resolved.get("description", ""))
        if depth < MAX_DEPTH:
            yield from _rows(spec, member, depth + 1)


def _example(spec: dict[str, Any], schema: dict[str, Any], depth: int) -> Any:
    """A body that has the right shape, to start from."""
    schema = _resolve(spec, schema)
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [_example(spec, schema.get("items", {}), depth + 1)] if depth < MAX_DEPTH else []
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {}) if depth < MAX_DEPTH else {}
        return {name: _example(spec, member, depth + 1) for name, member in members.items()}
    return {"integer": 0, "number": 0.5, "boolean": False}.get(str(kind), "")
