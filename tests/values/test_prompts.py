"""Prompts and the settings of what is made of them, and how long that is thought to take."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.values import prompt_times, prompts
from app.values.frame_times import Load, Timing
from app.values.prompt_times import Guesses
from app.values.prompts import Limits

LIMITS = Limits(most_chars=100, max_pixels=4_000_000, video_seconds=10)


ASTRONAUT = "\U0001f468\u200d\U0001f680"


@pytest.mark.parametrize(
    ("text", "kept"), [(" a cat\n", "a cat"), ("a\r\nb\rc\td", "a\nb\nc\td"), (ASTRONAUT, ASTRONAUT)]
)
def test_a_prompt_is_kept_as_it_is_but_for_its_ends(text: str, kept: str) -> None:
    assert prompts.read(text, 100) == kept


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "PROMPT_EMPTY", "empty"),
        ("\u2003\n", "PROMPT_EMPTY", "empty"),
        ("x" * 101, "PROMPT_TOO_LONG", "101 characters; 100"),
        ("a\x00b", "PROMPT_INVALID", "character 2 is U\\+0000"),
        ("ab\x7f!", "PROMPT_INVALID", "character 3 is U\\+007F"),
        ("\ud800!", "PROMPT_INVALID", "U\\+D800"),
    ],
)
def test_what_is_no_prompt_is_said_without_repeating_it(text: str, code: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        prompts.read(text, 100)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("given", "frames", "found"),
    [
        ({}, 1, {"width": 1024, "height": 1024, "output_format": "PNG"}),
        ({"width": 512, "quality": "high"}, 9, {"width": 512, "height": 512, "output_format": "PNG", "quality": "high"}),
        (
            {"output_format": "MP4", "height": 360},
            48,
            {"width": 640, "height": 360, "output_format": "MP4", "video": {"format": "MP4", "fps": 24, "frames": 48}},
        ),
    ],
)
def test_what_is_left_out_has_a_default(given: dict[str, Any], frames: int, found: dict[str, Any]) -> None:
    assert prompts.settle(given, frames, LIMITS) == found


def test_time_follows_the_size_and_what_was_made_before() -> None:
    def seconds(kind: str, settings: dict[str, Any], *timings: Timing) -> tuple[float, str]:
        found = prompt_times.expected(timings, kind, prompt_times.load_of(kind, settings), Guesses(20, 60))
        return round(found.seconds, 3), found.basis

    picture = prompts.settle({}, 5, LIMITS)
    assert seconds("images", picture) == (20, "guessed")
    assert seconds("images", {**picture, "width": 2048}) == (39.5, "guessed")
    made = Timing(Load("images", 1024, 1024, 1), 4, 3.0, 0.1)
    assert seconds("images", picture, made) == (3.0, "measured")
    film = prompts.settle({"output_format": "MP4"}, 48, LIMITS)
    assert seconds("video", film, made) == (119.5, "guessed")
    assert prompt_times.timing_key("images", picture) == ("prompt:images", "images/1024/1024/1")
    assert prompt_times.timing_key("render", picture) is None
