"""Ctrl-C while a child is being started: it counts, but afterwards."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held() -> Iterator[None]:
    """What asks this process to end waits until the block is over, and is then acted on where the block ends.

    While Python forks for a child with a `preexec_fn` it swallows what a handler raises, so a Ctrl-C just then would be lost;
    and one between the fork and the assignment of its result would leave a child that nobody knows. The child inherits the
    mask: its `preexec_fn` calls `let_through`. For a process whose only thread this is; another one would take the signal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # asked first: blocking may itself raise what came just before
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """In the child, before exec."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
