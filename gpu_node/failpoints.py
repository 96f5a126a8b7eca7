"""Named places where a crash test may end this process, as a power cut would.

They do nothing unless `LIGHTYARD_FAILPOINTS` names them: `LIGHTYARD_FAILPOINTS="node.uploaded=kill"`, or
`node.uploaded=kill@3` for the third time it is passed. Several are separated by commas. Or a file of the point's name lies in
the folder that `LIGHTYARD_FAILPOINTS_FOLDER` names: whoever passes first takes it away and dies, so one file is one crash.
"""

from __future__ import annotations

import os
import signal
import threading

FAILPOINTS = (
    "node.claimed",
    "node.frame_rendered",
    "node.uploaded",
    "node.announced",
)

_passes: dict[str, int] = {}
_lock = threading.Lock()


def failpoint(name: str) -> None:
    """Ends this process with SIGKILL when the environment asks for it here. Raises KeyError for an unlisted name."""
    if name not in FAILPOINTS:
        raise KeyError(f"failpoint {name!r} is not listed in FAILPOINTS")
    folder = os.environ.get("LIGHTYARD_FAILPOINTS_FOLDER")
    if folder and _take(os.path.join(folder, name)):
        os.kill(os.getpid(), signal.SIGKILL)
    asked = os.environ.get("LIGHTYARD_FAILPOINTS")
    if not asked:
        return
    for item in asked.split(","):
        point, _, action = item.strip().partition("=")
        if point == name and _is_due(name, action):
            os.kill(os.getpid(), signal.SIGKILL)


def _take(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _is_due(name: str, action: str) -> bool:
    verb, _, nth = action.partition("@")
    if verb != "kill":
        raise ValueError(f"failpoint {name}: unknown action {action!r}, use kill or kill@N")
    with _lock:
        _passes[name] = _passes.get(name, 0) + 1
        return _passes[name] == int(nth or "1")
