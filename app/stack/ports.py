"""Local ports for the embedded parts, from below the range that the kernel gives to outgoing connections."""

import random
import socket

from app.errors import ConfigError

LOWEST, HIGHEST = 20_000, 32_000  # Linux hands out 32768 and up by itself, so nobody takes these by accident
TRIES = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now (a closing connection of an earlier one is no obstacle)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(*offsets: int) -> int:
    """A free port; with `offsets`, one whose neighbours at these distances are free too. ConfigError when none is found."""
    for _ in range(TRIES):
        port = random.randrange(LOWEST, HIGHEST)
        if all(is_free(port + distance) for distance in (0, *offsets)):
            return port
    raise ConfigError(f"no free port between {LOWEST} and {HIGHEST}: stop what listens there")
