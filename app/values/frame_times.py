"""How long frames will take: from what was measured of the same scene, however it was set, else from a guess.

A frame is taken to cost a little time whatever its size, and the rest in proportion to its pixels times its samples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.values import tiles

MEASURED, PROBED, GUESSED = "measured", "probed", "guessed"
DEFAULT_WIDTH, DEFAULT_HEIGHT, DEFAULT_SAMPLES, DEFAULT_ENGINE = 1920, 1080, 128, "cycles"
QUALITY_SAMPLES = {"low": 32, "medium": 128, "high": 512}
GUESSED_WORK = DEFAULT_WIDTH * DEFAULT_HEIGHT * DEFAULT_SAMPLES
OVERHEAD_SECONDS = 0.5  # to open a file and begin, whatever the picture's size
GUESSED_OVERHEAD_SECONDS = 2.0  # the same of a scene that nobody has seen
# Until a node has Blender running and the scene open, which its first frame of a job pays for: as expected, and at most. How many
# begin, nobody knows when it is ordered, and a price is not to change because a node has come meanwhile.
START_SECONDS, START_MOST_SECONDS, STARTS_MOST = 3.0, 12.0, 4
LEAST_HIGH_SECONDS = 1.0
JOIN_SECONDS_PER_PIXEL = 1e-7  # 0.2 s for a Full HD frame
EXTRA_MARGIN = 4.0
# How much longer than expected all frames together may take, and still be within the bound.
SAME_MARGIN, SCALED_MARGIN, PROBED_MARGIN, GUESSED_MARGIN = 0.25, 1.0, 2.0, 7.0
LEAST_SPAN = 2.0  # two pictures whose work is nearer to each other show chance, and no line
FAR_RATIO = 8.0  # from a picture so much smaller nobody knows how much of its time hangs on its size
DEVIATIONS = 3.0
UNKNOWN_SPREAD = 0.5  # of the mean, of frames of which only one was seen


@dataclass(frozen=True, slots=True)
class Load:
    """What a frame's time depends on, beside the scene."""

    engine: str
    width: int
    height: int
    samples: int

    @property
    def work(self) -> float:
        """Pixels times samples."""
        return float(self.width) * self.height * self.samples


@dataclass(frozen=True, slots=True)
class Timing:
    """`frames` that were rendered with these settings took `seconds` each, `deviation` their spread (None of a single one)."""

    load: Load
    frames: int
    seconds: float
    deviation: float | None
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class FrameTime:
    """What one frame is expected to take, and by what `margin` all together may exceed that; `deviation` of `seen` frames."""

    seconds: float
    margin: float
    basis: str
    deviation: float = 0.0
    seen: int = 0

    def total_high(self, frames: int) -> float:
        """Seconds that so many frames take at most, but for a scene that is unlike what was seen of it."""
        expected = self.seconds * frames
        spread = self.deviation * math.sqrt(frames + frames**2 / self.seen) if self.seen else 0.0
        return max(expected * (1 + self.margin), expected + DEVIATIONS * spread, LEAST_HIGH_SECONDS * frames)

    def total_low(self, frames: int) -> float:
        """And at least: as far below what is expected, in proportion, as `total_high` is above."""
        expected = self.seconds * frames
        return expected * expected / self.total_high(frames)


def extra_seconds(settings: Mapping[str, Any], frames: int) -> tuple[float, float]:
    """What tiles and a video take beyond the frames themselves, as expected and at most: each tile opens the scene anew, frames
    are fetched and packed."""
    expected = (tiles.count(settings) - 1) * frames * OVERHEAD_SECONDS
    if settings.get("video"):
        expected += 2 * OVERHEAD_SECONDS + frames * settings["width"] * settings["height"] * JOIN_SECONDS_PER_PIXEL
    return expected, expected * EXTRA_MARGIN


def start_seconds(basis: str, units: int) -> tuple[float, float]:
    """What it takes until nodes have begun with so many units, beyond the frames, as expected and at most: what was measured has
    its part of that in it, but other jobs' frames may have shared one start among more."""
    starts = min(units, STARTS_MOST)
    return (starts * START_SECONDS if basis == GUESSED else 0.0), starts * START_MOST_SECONDS


def load_of(settings: Mapping[str, Any], report: Mapping[str, Any] | None) -> Load:
    """What is asked for; what is not is as the scene has it, else the defaults."""
    found = report or {}
    quality = QUALITY_SAMPLES.get(str(settings.get("quality")))
    return Load(
        engine=str(settings.get("engine") or DEFAULT_ENGINE).lower(),
        width=_whole(settings.get("width"), found.get("width"), DEFAULT_WIDTH),
        height=_whole(settings.get("height"), found.get("height"), DEFAULT_HEIGHT),
        samples=_whole(settings.get("samples"), quality, found.get("samples"), DEFAULT_SAMPLES),
    )


def _whole(*given: object) -> int:
    return next(item for item in given if isinstance(item, int) and not isinstance(item, bool) and item > 0)


def expect(
    timings: Sequence[Timing],
    wanted: Load,
    guess_seconds: float,
    guessed_work: float = GUESSED_WORK,
    overhead_seconds: float = GUESSED_OVERHEAD_SECONDS,
) -> FrameTime:
    """The best that can be said of one frame of a scene; `guess_seconds` are of a Full HD frame with 128 samples, or of other
    `guessed_work`, and `overhead_seconds` of them do not hang on the size."""
    known = [item for item in timings if item.load.engine == wanted.engine and item.frames > 0]
    same = [item for item in known if item.load == wanted]
    if same:
        return _measured(max(same, key=lambda item: item.frames))
    if known:
        return _scaled(known, wanted, guess_seconds / guessed_work)
    seconds = _proportional(guess_seconds, wanted.work / guessed_work, overhead_seconds)
    return FrameTime(seconds, GUESSED_MARGIN, GUESSED)


def _measured(found: Timing) -> FrameTime:
    deviation = found.seconds * UNKNOWN_SPREAD if found.deviation is None else found.deviation
    basis, margin = (PROBED, PROBED_MARGIN) if found.is_probe else (MEASURED, SAME_MARGIN)
    return FrameTime(found.seconds, margin, basis, deviation, found.frames)


def _scaled(known: Sequence[Timing], wanted: Load, guessed_slope: float) -> FrameTime:
    """From the nearest other settings, along the line through it and the farthest one, where two were seen that are far enough
    from each other to say so much.

    Of what is far smaller more counts as fixed, but what is wanted never takes less than a guess of its size: `guessed_slope`
    seconds for a pixel's sample.
    """
    near = min(known, key=lambda item: abs(math.log(item.load.work / wanted.work)))
    far = max(known, key=lambda item: abs(math.log(item.load.work / near.load.work)))
    span = max(near.load.work / far.load.work, far.load.work / near.load.work)
    slope = (far.seconds - near.seconds) / (far.load.work - near.load.work) if span >= LEAST_SPAN else 0.0
    ratio, margin = wanted.work / near.load.work, PROBED_MARGIN if near.is_probe else SCALED_MARGIN
    fixed = near.seconds - max(0.0, slope) * near.load.work if span >= LEAST_SPAN else 0.0
    if slope > 0 and fixed > 0 and ratio <= FAR_RATIO * span:
        seconds = near.seconds + slope * (wanted.work - near.load.work)
    elif ratio <= FAR_RATIO:
        seconds = _proportional(near.seconds, ratio)
    else:
        fixed, margin = max(fixed, min(near.seconds, GUESSED_OVERHEAD_SECONDS)), GUESSED_MARGIN
        seconds = max(_proportional(near.seconds, ratio, fixed), fixed + guessed_slope * wanted.work)
    found = _measured(near)
    stretch = seconds / near.seconds if near.seconds > 0 else 1.0
    deviation = found.deviation * stretch if ratio <= FAR_RATIO else seconds * UNKNOWN_SPREAD
    return FrameTime(max(seconds, 0.01), margin, found.basis, deviation, near.frames)


def _proportional(seconds: float, ratio: float, overhead_seconds: float = OVERHEAD_SECONDS) -> float:
    overhead = min(seconds, overhead_seconds)
    return overhead + (seconds - overhead) * ratio
