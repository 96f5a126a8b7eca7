"""How many of a job's frames are there, from how many of its units are."""


def frames_done(units_completed: int, units_total: int, frames: int) -> int:
    """A frame has one unit, or as many as its tiles and what stitches them; a video's has one, and one unit joins all of them."""
    if units_total == frames + 1:
        return min(units_completed, frames)
    return units_completed * frames // units_total
