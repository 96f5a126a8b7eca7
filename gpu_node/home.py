"""NODE_HOME belongs to one node at a time: a second one would empty the first one's work folder and share its key."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from gpu_node.failures import NodeError


class HomeTaken(NodeError):
    """Another node works in this folder."""


def hold_home(home: Path) -> IO[str]:
    """Holds `home` until the returned file is closed or the process ends, however it ends. Raises HomeTaken."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = (home / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise HomeTaken(f"another node runs in NODE_HOME={home}: stop it, or give this one a folder of its own "
                        "(to render more scenes at once on this host, set NODE_SLOTS instead)") from None
    return handle
