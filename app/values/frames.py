"""Which frames a client wants rendered: the one grammar for frame ranges that every dialect uses.

Grammar: `RANGE("," RANGE)*`, where RANGE is `N`, `N-N` or `N-N:STEP`; numbers may be negative (`-5--1`), a
step is at least 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress

from app.errors import InvalidInput

FRAME_LIMIT = 1_048_574
"""Blender's own largest frame number, in either direction."""

TEXT_LIMIT_CHARS = 64 * 1024

_NUMBER = r"-?[0-9]{1,10}"
_RANGE = re.compile(rf"[ \t]*({_NUMBER})[ \t]*(?:-[ \t]*({_NUMBER})[ \t]*(?::[ \t]*({_NUMBER})[ \t]*)?)?")


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Distinct frame numbers in rising order; never empty."""

    frames: tuple[int, ...]

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, frame: object) -> bool:
        return frame in self.frames

    @property
    def first(self) -> int:
        return self.frames[0]

    @property
    def last(self) -> int:
        return self.frames[-1]

    @property
    def text(self) -> str:
        """The canonical text: `parse(text)` gives the same frames again."""
        return ",".join(_spell(start, stop, step) for start, stop, step in _runs(self.frames))

    def __str__(self) -> str:
        return self.text


def parse(text: str, max_frames: int) -> FrameSet:
    """Read `"1,3,5-9:2"`. Overlaps count once. Refuses more than `max_frames` before anything is expanded."""
    if not isinstance(text, str):
        raise _refuse(f"Frames are a text such as 1,3,5-9:2, not {type(text).__name__}.")
    if len(text) > TEXT_LIMIT_CHARS:
        raise _refuse(
            f"The list of frames is longer than {TEXT_LIMIT_CHARS} characters. Use ranges such as 1-250."
        )
    return _collect([_parse_range(part, max_frames) for part in text.split(",")], max_frames)


def from_bounds(start: int, end: int, max_frames: int) -> FrameSet:
    """The frames from `start` to `end`, both included."""
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise _refuse(f"The {name} frame must be a whole number, not {value!r}.")
    return _collect([_checked_range(start, end, 1, max_frames)], max_frames)


def _parse_range(part: str, max_frames: int) -> range:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise _refuse(
            f"{part.strip()[:40]!r} is not a frame or a range of frames. Write 7, 1-250 or 1-250:10."
        )
    start, end, step = match.groups()
    return _checked_range(int(start), int(end or start), int(step or 1), max_frames)


def _checked_range(start: int, end: int, step: int, max_frames: int) -> range:
    for frame in (start, end):
        if abs(frame) > FRAME_LIMIT:
            raise _refuse(f"Frame {frame} is outside Blender's range of -{FRAME_LIMIT} to {FRAME_LIMIT}.")
    if end < start:
        raise _refuse(f"The range {start}-{end} runs backwards. Write the lower frame first: {end}-{start}.")
    if step < 1:
        raise _refuse(f"The step of {start}-{end}:{step} must be at least 1.")
    frames = range(start, end + 1, step)
    if len(frames) > max_frames:
        raise _too_many(len(frames), max_frames)
    return frames


def _collect(ranges: list[range], max_frames: int) -> FrameSet:
    """Mark every range in one row of bytes, so that many long, overlapping ranges stay cheap (2 MiB at
    most)."""
    low = min(frames.start for frames in ranges)
    marks = bytearray(max(frames[-1] for frames in ranges) - low + 1)
    for frames in ranges:
        marks[frames.start - low : frames[-1] - low + 1 : frames.step] = b"\x01" * len(frames)
    count = marks.count(1)
    if count > max_frames:
        raise _too_many(count, max_frames)
    return FrameSet(tuple(compress(range(low, low + len(marks)), marks)))


def _runs(frames: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Cut rising frames into runs (first, last, step), each as long as its step holds."""
    index = 0
    while index < len(frames):
        end = index + 1
        step = frames[end] - frames[index] if end < len(frames) else 1
        while end < len(frames) and frames[end] - frames[end - 1] == step:
            end += 1
        if (
            step > 1 and end - index == 2
        ):  # two frames with a gap are no run: the second may begin a better one
            end = index + 1
        yield frames[index], frames[end - 1], step
        index = end


def _spell(start: int, stop: int, step: int) -> str:
    if start == stop:
        return str(start)
    return f"{start}-{stop}" if step == 1 else f"{start}-{stop}:{step}"


def _refuse(message: str) -> InvalidInput:
    return InvalidInput(message, code="FRAMES_INVALID")


def _too_many(count: int, max_frames: int) -> InvalidInput:
    return InvalidInput(
        f"{count} frames were asked for and one job may have {max_frames}. Split it into several jobs.",
        code="TOO_MANY_FRAMES",
        details={"frames": count, "max_frames": max_frames},
    )
