"""SIGTERM and Ctrl-C, told to a thread of their own.

A main thread that waits on a lock is woken only by a signal that it takes itself, and the kernel may hand one that comes
while another thread starts a thread or a child to that thread: Python notes it, and the main thread sleeps on. What the C
handler writes to a pipe arrives whichever thread it ran in. A Python handler could not set an Event safely either: it may
interrupt the very thread that holds that Event's lock.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

ENDING = (signal.SIGTERM, signal.SIGINT)


def call_when_told_to_end(act: Callable[[], None]) -> None:
    """From here on `act` runs in a thread for each SIGTERM and SIGINT. Once per process, from its main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in ENDING:
        signal.signal(number, lambda *_: None)

    def listen() -> None:
        while True:
            if any(number in ENDING for number in os.read(reader, 64)):
                act()

    threading.Thread(target=listen, name="interruption", daemon=True).start()
