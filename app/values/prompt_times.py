"""How long pictures and videos of prompts will take: from others of the same kind that were made here, else from a guess.

What it takes hangs on the size and the number of frames, hardly on the words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.values.capabilities import IMAGES, PROMPTED, VIDEO
from app.values.frame_times import OVERHEAD_SECONDS, FrameTime, Load, Timing, expect

GUESSED_FRAMES = 24
GUESSED_WORK = {IMAGES: 1024 * 1024, VIDEO: 1280 * 720 * GUESSED_FRAMES}


@dataclass(frozen=True, slots=True)
class Guesses:
    """Until one was made: a picture of 1024x1024 takes so long, and 24 frames of a video of 1280x720."""

    image_seconds: float = 20.0
    video_seconds: float = 60.0


def load_of(kind: str, settings: Mapping[str, Any]) -> Load:
    """What a unit's time depends on: a picture, or all frames of a video."""
    frames = (settings.get("video") or {}).get("frames", 1)
    return Load(engine=kind, width=settings["width"], height=settings["height"], samples=frames)


def timing_key(kind: str, settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Under which bytes and settings its measured time is kept; None for what is made of no prompt."""
    if kind not in PROMPTED:
        return None
    load = load_of(kind, settings)
    return name_of(kind), f"{load.engine}/{load.width}/{load.height}/{load.samples}"


def name_of(kind: str) -> str:
    """What stands for the bytes of a scene, which a prompt has none of."""
    return f"prompt:{kind}"


def expected(timings: Sequence[Timing], kind: str, load: Load, guesses: Guesses) -> FrameTime:
    """Of one unit."""
    guess = guesses.video_seconds if kind == VIDEO else guesses.image_seconds
    return expect(timings, load, guess, GUESSED_WORK[kind], OVERHEAD_SECONDS)
