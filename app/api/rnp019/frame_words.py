"""How a frame stands, in one word: of its unit, or of all its tiles."""

from collections.abc import Collection

from app.values.states import HELD, UnitState

QUEUED, RENDERING, COMPLETED, FAILED, CANCELLED = WORDS = ("queued", "rendering", "completed", "failed", "cancelled")


def word(states: Collection[UnitState]) -> str:
    """A frame is completed when all of it is, and failed or cancelled as soon as a part of it is."""
    found = set(states)
    if UnitState.FAILED in found:
        return FAILED
    if UnitState.CANCELLED in found:
        return CANCELLED
    if found == {UnitState.COMPLETED}:
        return COMPLETED
    return RENDERING if found & {*HELD, UnitState.COMPLETED} else QUEUED
