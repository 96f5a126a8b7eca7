"""What an agent asks for becomes what nodes get: filled up from the scene, or refused by name."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.values.render_settings import Limits, delivery_format, settle

LIMITS = Limits(max_pixels=10**7, max_samples=4096)
SCENE = {"width": 1600, "height": 900, "samples": 64, "engine": "eevee", "fps": 25, "cameras": ["Camera"]}
OWN = {"width": 1600, "height": 900, "samples": 64, "engine": "eevee", "output_format": "PNG", "camera": None}


@pytest.mark.parametrize(
    ("given", "report", "expected"),
    [
        ({}, SCENE, OWN),
        ({}, None, {"width": 1920, "height": 1080, "samples": 128, "engine": "cycles", "output_format": "PNG", "camera": None}),
        ({}, {"width": -1, "height": "9", "samples": 10**9, "engine": "workbench"},
         {"width": 1920, "height": 1080, "samples": 4096, "engine": "cycles", "output_format": "PNG", "camera": None}),
        ({"width": 800}, SCENE, OWN | {"width": 800, "height": 450}),
        ({"height": 1800}, SCENE, OWN | {"width": 3200, "height": 1800}),
        ({"width": 10, "height": 20}, SCENE, OWN | {"width": 10, "height": 20}),
        ({"quality": "high"}, SCENE, OWN | {"samples": 512, "quality": "high"}),
        ({"quality": "medium"}, SCENE, OWN | {"samples": 128, "quality": "medium"}),
        ({"quality": "high", "samples": 7}, SCENE, OWN | {"samples": 7, "quality": "high"}),
        ({"engine": "cycles", "camera": "Camera", "output_format": "EXR"}, SCENE,
         OWN | {"engine": "cycles", "camera": "Camera", "output_format": "EXR"}),
        ({"output_format": "MP4"}, SCENE, OWN | {"video": {"format": "MP4", "fps": 25, "frames": 10}}),
        ({"output_format": "MP4", "fps": 29.97}, SCENE, OWN | {"video": {"format": "MP4", "fps": 29.97, "frames": 10}}),
        ({"output_format": "MP4"}, SCENE | {"fps": 0}, OWN | {"video": {"format": "MP4", "fps": 24, "frames": 10}}),
    ],
)  # fmt: skip
def test_what_is_left_out_is_the_scenes(given: dict[str, Any], report: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    found = settle(given, report, 10, LIMITS)
    assert found == expected
    assert delivery_format(found) == given.get("output_format", "PNG")


@pytest.mark.parametrize(
    ("given", "frames", "said"),
    [
        ({"width": 4000, "height": 4000}, 1, "16000000|4000x4000"),
        ({"samples": 4097}, 1, "samples"),
        ({"output_format": "MP4"}, 1, "two frames"),
        ({"output_format": "MP4", "width": 33, "height": 32}, 2, "even"),
        ({"fps": 24}, 2, "fps"),
        ({"width": 65_536}, 1, "pixels"),
        ({"height": 65_536}, 1, "at most 65536"),
        ({"width": 3, "height": 4}, 1, "at least 4"),
        ({"width": 4}, 1, "4x2"),
        ({"output_format": "JPEG", "width": 65_501, "height": 4}, 1, "JPEG has"),
        ({"output_format": "MP4", "width": 16, "height": 14}, 2, "at least 16"),
        ({"output_format": "MP4", "width": 16_386, "height": 16}, 2, "at most 16384"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, Any], frames: int, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        settle(given, SCENE, frames, LIMITS)
    assert refused.value.code == "SETTINGS_INVALID"
