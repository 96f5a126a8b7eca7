"""SIGTERM to a process whose other threads start threads: the kernel may hand the signal to one of them."""

import signal
import subprocess
import sys
import threading

from tests.factories.scenes import ROOT

SIGNALS = 40  # with an Event set by a Python handler about one in three is lost
BUSY = """
import threading
from gpu_node.interruption import call_when_told_to_end

def start_threads():
    while True:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

call_when_told_to_end(lambda: print("told", flush=True))
threading.Thread(target=start_threads, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def test_no_signal_is_lost_to_a_thread_that_starts_threads() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        patience = threading.Timer(60, process.kill)  # the end of the output then fails the test
        patience.start()
        try:
            assert process.stdout.readline() == "ready\n"
            for _ in range(SIGNALS):
                process.send_signal(signal.SIGTERM)
                assert process.stdout.readline() == "told\n"
        finally:
            patience.cancel()
            process.kill()
