"""SIGTERM to a chain that is busy answering: the kernel may hand the signal to a thread that is just being started."""

import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from tests.factories.scenes import ROOT

HEALTH = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'


def ask_until_gone(url: str) -> None:
    """Each request is a connection, so a thread of the server."""
    while True:
        request = urllib.request.Request(url, HEALTH, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).read()
        except (urllib.error.URLError, OSError):
            return


@pytest.mark.parametrize("round_number", range(5))
def test_a_busy_chain_ends_at_one_sigterm(round_number: int) -> None:
    command = [sys.executable, "-m", "devnet", "--port", "0", "--slot-ms", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as chain:
        assert chain.stdout is not None
        url = chain.stdout.readline().split()[2]
        clients = [threading.Thread(target=ask_until_gone, args=(url,)) for _ in range(3)]
        for client in clients:
            client.start()
        chain.send_signal(signal.SIGTERM)
        try:
            assert chain.wait(30) == 0
        finally:
            chain.kill()
            for client in clients:
                client.join()
