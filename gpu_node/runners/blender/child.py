"""The part that runs inside the sandbox with bpy: one process per job, a scene loaded once, frames after it.

Only bpy and the standard library are imported here, and nothing of this package. Commands come as JSON lines on
stdin, events leave as JSON lines on the original stdout; Blender's own chatter is sent to stderr first, since its C code
prints on descriptor 1. Started as `python child.py <limits as JSON>`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1


class Events:
    """The line to the parent. Blender's own writing on descriptor 1 goes to stderr from here on."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, event: str, **fields: Any) -> None:
        self._file.write(json.dumps({"event": event, **fields}) + "\n")
        self._file.flush()


def apply_limits(limits: dict[str, Any]) -> None:
    """Hard limits on this process before anything of the scene is read; bytes. A null leaves that limit alone."""
    if limits.get("parent_pid"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != limits["parent_pid"]:
            os._exit(1)
    for name, value in (("RLIMIT_AS", limits.get("address_space_bytes")), ("RLIMIT_FSIZE", limits.get("file_bytes")),
                        ("RLIMIT_NOFILE", limits.get("open_files")), ("RLIMIT_NPROC", limits.get("processes")),
                        ("RLIMIT_CORE", 0)):
        if value is not None:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))


def grant_processor_time(seconds: float) -> None:
    """The next command may use this much more processor time, of all cores together; then SIGXCPU ends the process."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))


def main() -> NoReturn:
    events = Events()
    apply_limits(json.loads(sys.argv[1]))
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import child_scene

    child_scene.greet(events)
    try:
        serve(events, child_scene)
    finally:
        child_scene.forget_handlers()
        sys.stderr.flush()
        # A registered handler makes Blender 4.5 hang at interpreter exit; leaving this way never gets there.
        os._exit(0)


def serve(events: Events, scene: Any) -> None:
    """Answers commands until stdin closes or `quit` comes."""
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("command")
        if name == "quit":
            return
        grant_processor_time(command.pop("cpu_seconds"))
        if name == "limit":
            apply_limits(command["limits"])
            events.send("limited")
            continue
        try:
            events.send(**scene.COMMANDS[name](events, **command))
        except scene.SceneError as error:
            events.send("error", code=error.code, message=str(error))
        except MemoryError:
            events.send("error", code="OUT_OF_MEMORY", message="Blender ran out of the memory it was allowed")


if __name__ == "__main__":
    main()
