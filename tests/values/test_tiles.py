"""Tiles cover a picture exactly; how they may be asked for; which scenes are refused, and why."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.values import render_settings, tiles
from app.values.render_settings import Limits

LIMITS = Limits(10**8, 4096)
REPORT = {"width": 640, "height": 480, "samples": 16, "engine": "cycles", "whole_picture_steps": []}


@pytest.mark.parametrize(("width", "height", "columns", "rows"), [(67, 45, 3, 2), (8, 8, 1, 1), (1921, 9, 8, 8), (9, 100, 1, 12)])
def test_every_pixel_is_in_one_tile(width: int, height: int, columns: int, rows: int) -> None:
    seen = [0] * (width * height)
    for row in range(rows):
        for column in range(columns):
            box = tiles.box({"column": column, "row": row, "columns": columns, "rows": rows}, width, height)
            assert abs(box.width - width / columns) < 1 and abs(box.height - height / rows) < 1
            for line in range(box.top, box.bottom):
                for place in range(box.left, box.right):
                    seen[line * width + place] += 1
    assert set(seen) == {1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2x2", {"columns": 2, "rows": 2}),
        (" 3 X 1 ", {"columns": 3, "rows": 1}),
        ("8x8", {"columns": 8, "rows": 8}),
        ("64x1", {"columns": 64, "rows": 1}),
        ("auto", "auto"),
        ("AUTO", "auto"),
    ],
)
def test_how_they_may_be_asked_for(text: str, found: Any) -> None:
    assert tiles.parse(text) == found


@pytest.mark.parametrize(
    "text", ["", "0x2", "2x0", "2", "-2x2", "2x-2", "2x2x2", "65x1", "9x8", "٢x٢", "1e1x2", "x", "99x99", "2.5x2"]
)
def test_how_they_may_not(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"settings\.tiles"):
        tiles.parse(text)


def settle(given: dict[str, Any], report: dict[str, Any] | None = None, frames: int = 1) -> dict[str, Any]:
    return render_settings.settle({"tiles": "2x2", **given}, {**REPORT, **(report or {})}, frames, LIMITS)


def test_a_still_is_cut_as_asked() -> None:
    assert settle({})["tiles"] == {"columns": 2, "rows": 2}
    assert settle({"output_format": "EXR"})["tiles"] == {"columns": 2, "rows": 2}
    assert settle({"tiles": "auto"})["tiles"] == "auto"
    assert "tiles" not in settle({"tiles": "1x1"}) and "tiles" not in settle({"tiles": None})
    assert "denoise" not in settle({})
    assert "color_mode" not in settle({"tiles": "1x1"}), "a picture in one piece is as its scene has it"


@pytest.mark.parametrize(
    ("output_format", "told", "found"),
    [
        ("PNG", {"color_mode": "RGB", "color_depth": {"PNG": 16, "EXR": 32}}, ("RGB", 16)),
        ("EXR", {"color_mode": "BW", "color_depth": {"PNG": 16, "EXR": 32}}, ("BW", 32)),
        ("EXR", {}, ("RGBA", 16)),
        ("PNG", {"color_mode": ["RGB"], "color_depth": {"PNG": True}}, ("RGBA", 8)),
        ("PNG", {"color_mode": "CMYK", "color_depth": {"PNG": 32}}, ("RGBA", 8)),
        ("PNG", {"color_mode": None, "color_depth": 16}, ("RGBA", 8)),
    ],
)
def test_what_tiles_are_in_is_settled_whatever_a_node_says(output_format: str, told: dict[str, Any], found: Any) -> None:
    settings = settle({"output_format": output_format}, told)
    assert (settings["color_mode"], settings["color_depth"]) == found
    assert not {"tiles", "color_mode", "color_depth"} & set(tiles.without(settings))


@pytest.mark.parametrize(
    ("given", "report", "frames", "said"),
    [
        ({}, {}, 2, "single frame"),
        ({"output_format": "JPEG"}, {}, 1, "PNG and EXR"),
        ({"output_format": "MP4"}, {}, 2, "PNG and EXR"),
        ({"engine": "eevee"}, {}, 1, "Eevee"),
        ({}, {"engine": "eevee", "whole_picture_steps": ["engine"]}, 1, "Eevee"),
        ({}, {"whole_picture_steps": ["denoise"]}, 1, "settings.denoise to false"),
        ({"denoise": True}, {}, 1, "settings.denoise to false"),
        ({"denoise": False}, {"whole_picture_steps": ["denoise", "compositing"]}, 1, "compositor"),
        ({"samples": 65}, {"whole_picture_steps": ["adaptive"], "adaptive_from_samples": 64}, 1, "adaptive_sampling to false"),
        ({}, {"whole_picture_steps": ["adaptive"]}, 1, "adaptive_sampling to false"),
        ({"width": 15, "height": 16}, {}, 1, "8 pixels a side"),
    ],
)
def test_what_can_not_be_cut_is_refused_with_the_reason(
    given: dict[str, Any], report: dict[str, Any], frames: int, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        settle(given, report, frames)
    assert refused.value.code == "SETTINGS_INVALID" and refused.value.message.startswith("settings.tiles: ")
    if "width" not in given:
        assert "tiles" not in settle({**given, "tiles": "auto"}, report, frames), "left to the hub, it is rendered whole"


def test_what_was_switched_off_or_does_nothing_is_no_obstacle() -> None:
    noisy = {"whole_picture_steps": ["denoise", "adaptive"], "adaptive_from_samples": 64}
    assert settle({"denoise": False, "adaptive_sampling": False, "samples": 512}, noisy)["tiles"]
    assert settle({"denoise": False, "samples": 64}, noisy)["tiles"]
    assert settle({"engine": "cycles"}, {"engine": "eevee", "whole_picture_steps": ["engine"]})["tiles"]
    assert settle({}, {"whole_picture_steps": "denoise", "adaptive_from_samples": True})["tiles"], "a node may say anything"


@pytest.mark.parametrize(
    ("seconds", "free", "size", "found"),
    [
        (59, 100, (1920, 1080), None),
        (600, 1, (1920, 1080), None),
        (600, 0, (1920, 1080), None),
        (600, 4, (1920, 1080), (2, 2)),
        (600, 4, (4000, 500), (4, 1)),
        (600, 4, (500, 4000), (1, 4)),
        (180, 100, (1920, 1080), (3, 1)),
        (10**6, 10**6, (1920, 1080), (8, 8)),
        (600, 100, (8, 8), None),
    ],
)
def test_the_hub_cuts_by_time_and_free_nodes(seconds: float, free: int, size: tuple[int, int], found: Any) -> None:
    wanted = None if found is None else {"columns": found[0], "rows": found[1]}
    assert tiles.choose(seconds, free, *size) == wanted
