"""How frames are rendered, in bodies of jobs and estimates."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from app.api.rnp019.schemas.loose import Loose
from app.values import tiles
from app.values.frame_times import QUALITY_SAMPLES
from app.values.render_settings import ENGINES, FORMATS, FPS_MOST, SIDE_LEAST_PIXELS, SIDE_MOST_PIXELS

CAMERA_LIMIT_CHARS = 63  # as long as a name in Blender gets


class Word(fields.String):
    """One of a few words, in any case."""

    def __init__(self, known: tuple[str, ...], **options: Any) -> None:
        self._known = {word.upper(): word for word in known}
        said = [*known, None] if options.get("allow_none") else list(known)
        super().__init__(metadata={"enum": said, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> str:
        text = super()._deserialize(value, attr, data, **more) or ""
        if text.upper() not in self._known:
            raise ValidationError(f"must be one of {', '.join(self._known.values())}")
        return self._known[text.upper()]


class Fps(fields.Field[Any]):
    """Frames per second, whole or not: 24, 29.97."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "number", "example": 24, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= FPS_MOST:
            raise ValidationError(f"must be a number from 1 to {FPS_MOST}")
        return round(value, 3)


def _whole(most: int, said: str, least: int = 1) -> fields.Integer:
    options: dict[str, Any] = {"strict": True, "allow_none": True, "load_default": None}
    return fields.Integer(validate=validate.Range(least, most), metadata={"description": said}, **options)


def _switch(said: str) -> fields.Boolean:
    return fields.Boolean(load_default=None, allow_none=True, metadata={"description": said})


class RenderSettingsSchema(Loose):
    """What is left out is as the scene has it."""

    width = _whole(SIDE_MOST_PIXELS, "pixels; of one side alone, the other keeps the scene's proportions", SIDE_LEAST_PIXELS)
    height = _whole(SIDE_MOST_PIXELS, "pixels", SIDE_LEAST_PIXELS)
    samples = _whole(2**31 - 1, "per pixel; before `quality`")
    quality = Word(
        tuple(QUALITY_SAMPLES),
        load_default=None,
        allow_none=True,
        metadata={"description": ", ".join(f"{word}: {samples} samples" for word, samples in QUALITY_SAMPLES.items())},
    )
    engine = Word(ENGINES, load_default=None, allow_none=True)
    output_format = Word(
        FORMATS, load_default=None, allow_none=True, metadata={"description": "PNG if left out; MP4 joins the frames"}
    )
    camera = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, CAMERA_LIMIT_CHARS),
        metadata={"description": "its name; else the scene's active one"},
    )
    tiles = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 40),
        metadata={
            "example": "2x2",
            "description": f"of a single frame, columns by rows, {tiles.MOST} at most: rendered by many nodes, and stitched to "
            f"exactly the same picture. `{tiles.AUTO}`: as many as are worth it. PNG and EXR; refused, with the reason, for a "
            "scene whose picture can't be made in parts",
        },
    )
    denoise = _switch("whether Cycles denoises the picture")
    adaptive_sampling = _switch("whether pixels with little noise get fewer samples")
    fps = Fps(load_default=None, allow_none=True, metadata={"description": "of an MP4; else the scene's"})
