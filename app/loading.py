"""How a process of the hub loads: imported before everything else, and told at the end.

What is loaded stays as long as the process lives. Python looks through it for garbage again and again while it grows, which is
half the time of a start, and then for ever.
"""

import gc

_is_ours = gc.isenabled()
gc.disable()


def done() -> None:
    """From here on garbage is collected, among what is made from here on; twice is like once."""
    if _is_ours:
        gc.freeze()
        gc.enable()
