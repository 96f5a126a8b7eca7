"""Reading Rayment's requests: settings, specs, prices, and members of the body as they were sent."""

import json
import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from app.config import Settings
from app.core.pricing import Tariff
from app.errors import InvalidInput, NotFound
from app.values import frames as frame_ranges
from app.values.frames import FrameSet
from app.values.json_text import read_json
from app.values.render_settings import SIDE_LEAST_PIXELS

WHITESPACE = re.compile(r"[ \t\n\r]*")
ENGINES = ("cycles", "eevee")
OUTPUTS = ("PNG", "JPEG", "EXR")
DEFAULTS: dict[str, Any] = {"width": 1920, "height": 1080, "samples": 128}


def identifier(text: object, message: str) -> uuid.UUID:
    """A UUID, or the 404 that an unknown id deserves."""
    try:
        return uuid.UUID(str(text))
    except ValueError:
        raise NotFound(message) from None


def member(body: dict[str, Any], name: str, kind: type | tuple[type, ...], limit: int = 2000) -> Any:
    """A required member of the right type and a sane length."""
    value = body.get(name)
    wrong = not isinstance(value, kind) or isinstance(value, bool) and kind is not bool
    if wrong or value == "":
        raise InvalidInput(f"{name} is missing or of the wrong type")
    if isinstance(value, str) and len(value) > limit:
        raise InvalidInput(f"{name} may have at most {limit} characters")
    return value


def raw_member(text: str, name: str) -> str:
    """A top-level member exactly as it was sent: wallets sign the text, not what Python would make of it."""
    decoder = json.JSONDecoder()
    position = WHITESPACE.match(text, 0).end()  # type: ignore[union-attr]
    if not text.startswith("{", position):
        raise InvalidInput("the body must be a JSON object")
    found, position = None, position + 1
    while True:
        position = WHITESPACE.match(text, position).end()  # type: ignore[union-attr]
        if position >= len(text) or text[position] == "}":
            break
        if text[position] == ",":
            position += 1
            continue
        key, position = decoder.raw_decode(text, position)
        position = WHITESPACE.match(text, WHITESPACE.match(text, position).end() + 1).end()  # type: ignore[union-attr]
        _, end = decoder.raw_decode(text, position)
        if key == name:
            found = text[position:end]
        position = end
    if found is None:
        raise InvalidInput(f"{name} is missing")
    return found


def tariff(pricing: dict[str, Any]) -> Tariff:
    """Prices: finite, not negative, at most 12 decimals and a million SOL."""
    values = []
    for name in ("pricePerFrame", "pricePerSecond", "pricePerGb", "minimumPrice"):
        try:
            value = Decimal(str(member(pricing, name, (int, float, Decimal))))
        except InvalidOperation:
            raise InvalidInput(f"pricing.{name} is not a number") from None
        if not value.is_finite() or not 0 <= value <= 10**6 or value != round(value, 12):
            raise InvalidInput(f"pricing.{name} must be between 0 and 1000000 with at most 12 decimals")
        values.append(value)
    if pricing.get("currency", "SOL") != "SOL":
        raise InvalidInput("pricing.currency must be SOL")
    return Tariff(values[0], values[1], values[2], values[3], "SOL")


def spec(body: dict[str, Any]) -> dict[str, Any]:
    """A provider's spec: the document's members are of its types where they are given, others are kept as they are."""
    given: dict[str, Any] = member(body, "spec", dict)
    if len(json.dumps(given)) > 20_000:
        raise InvalidInput("spec is too large")
    for name, (is_right, wanted) in SPEC_MEMBERS.items():
        if name in given and not is_right(given[name]):
            raise InvalidInput(f"spec.{name} must be {wanted}")
    return given


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 10**9


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_gpus(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(gpu, dict) and isinstance(gpu.get("name"), str) and _is_amount(gpu.get("vram")) for gpu in value
    )


SPEC_MEMBERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "gpus": (_are_gpus, "a list of {name, vram}"),
    "gpuCount": (lambda value: _is_amount(value) and isinstance(value, int), "a whole number"),
    "totalVram": (_is_amount, "a number of GiB"),
    "maxFileSize": (lambda value: _is_amount(value) and 0 < value <= 10**6, "a number of MiB"),
    "supportedFormats": (_are_texts, "a list of texts"),
    "blenderVersion": (lambda value: isinstance(value, str), "a text"),
    "renderEngines": (_are_texts, "a list of texts"),
}


def render_settings(text: str | bytes | None, limits: Settings) -> tuple[dict[str, Any], FrameSet]:
    """The `settings` form field as our settings and the frames; every field is optional and each is checked."""
    try:
        given = read_json(text or "{}")
    except InvalidInput as error:
        raise InvalidInput(f"settings: {error.message.replace('the body', 'it')}") from None
    if not isinstance(given, dict):
        raise InvalidInput("settings must be a JSON object")
    size = given.get("resolution", {})
    if not isinstance(size, dict):
        raise InvalidInput("settings.resolution must be an object {width, height}")
    width = _whole(size.get("width", DEFAULTS["width"]), "resolution.width", 65_536)
    height = _whole(size.get("height", DEFAULTS["height"]), "resolution.height", 65_536)
    if min(width, height) < SIDE_LEAST_PIXELS:
        raise InvalidInput(f"settings.resolution: {width}x{height}, but a side has at least {SIDE_LEAST_PIXELS} pixels")
    if width * height > limits.max_pixels:
        raise InvalidInput(f"settings.resolution: {width}x{height} is more than {limits.max_pixels} pixels")
    settings = {
        "width": width,
        "height": height,
        "samples": _whole(given.get("samples", DEFAULTS["samples"]), "samples", limits.max_samples),
        "engine": _choice(given.get("engine", "cycles"), "engine", ENGINES, str.lower),
        "output_format": _choice(given.get("outputFormat", "PNG"), "outputFormat", OUTPUTS, str.upper),
        "camera": given.get("camera"),
    }
    if settings["camera"] is not None and not (isinstance(settings["camera"], str) and len(settings["camera"]) <= 63):
        raise InvalidInput("settings.camera must be the name of a camera")
    return settings, _frames(given.get("frames", {"start": 1, "end": 1}), limits.max_frames)


def _frames(given: object, max_frames: int) -> FrameSet:
    if not isinstance(given, dict):
        raise InvalidInput("settings.frames must be an object {start, end}")
    start = given.get("start", 1)
    end = given.get("end", start)
    return frame_ranges.from_bounds(_frame(start), _frame(end), max_frames)


def _frame(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput("settings.frames.start and .end must be whole numbers")
    return value


def _whole(value: object, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(f"settings.{name} must be a whole number from 1 to {most}")
    return value


def _choice(value: object, name: str, known: tuple[str, ...], spell: Any) -> str:
    if not isinstance(value, str) or spell(value) not in known:
        raise InvalidInput(f"settings.{name} must be one of {', '.join(known)}")
    return str(spell(value))


def count(text: str | None, name: str, least: int, most: int, default: int) -> int:
    """A whole number of the query, such as a page's size."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}")
    return int(text)
