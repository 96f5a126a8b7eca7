"""In which order a job's frames are rendered: the first, the last and the middle one before all others, so that a client sees
early what the whole will look like."""

from collections.abc import Sequence


def early_look(frames: Sequence[int]) -> tuple[int, ...]:
    """`frames`, distinct and rising, in the order in which nodes get them: first, middle, last, then the rest as they come."""
    if len(frames) < 3:
        return tuple(frames)
    picked = (0, len(frames) // 2, len(frames) - 1)
    rest = (frame for index, frame in enumerate(frames) if index not in picked)
    return (*(frames[index] for index in picked), *rest)
