"""How the local chains hear that they are to end."""

import os
import signal


def expect_signals() -> int:
    """A pipe that can be read once SIGINT or SIGTERM came.

    Not an Event: a signal that the kernel hands to one of the servers' threads would not wake a main thread that waits on one.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reader
