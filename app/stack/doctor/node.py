"""The local GPU node looks after itself: its own doctor, run with its own Python, really starts Blender in the sandbox."""

import os
import re
import subprocess
from collections.abc import Iterator

from app.stack.doctor.finding import FAIL, OK, Finding
from app.stack.doctor.place import Place
from app.stack.stack import NODE_PYTHON, ROOT

LINE = re.compile(r"^(OK|WARN|BAD) +([a-z]+): (.*)$")
MARKS = {"BAD": FAIL}
SECONDS = 55


def examine(place: Place) -> Iterator[Finding]:
    """What `lightyard-node doctor` says here: Blender, its libraries, bubblewrap and user namespaces, GPUs, EGL, its disk."""
    settings = place.settings
    if settings.nodes == 0:
        yield Finding(OK, "node", "NODES=0: none runs here")
        return
    if not NODE_PYTHON.exists():
        yield Finding(FAIL, "node", f"{NODE_PYTHON} is missing", "make install, or set NODES=0")
        return
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HUB_URL": f"http://127.0.0.1:{settings.port}"}
    environment["NODE_HOME"] = str(settings.home / "node-0")
    command = [str(NODE_PYTHON), "-m", "gpu_node", "doctor"]
    try:
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        advice = "run `lightyard-node doctor` by itself: Blender hangs, or this host is very busy"
        yield Finding(FAIL, "node", f"its doctor took more than {SECONDS} s", advice)
        return
    found = list(_lines(asked.stdout, place.is_running))
    if not found:
        reason = (asked.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        found = [Finding(FAIL, "node", f"its doctor did not run: {reason}", "make clean install")]
    yield from found


def _lines(text: str, is_running: bool) -> Iterator[Finding]:
    """The node's findings; that a hub does not answer is no news while none runs."""
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        match = LINE.match(line)
        if match and (is_running or match[2] != "hub"):
            advice = following.strip().removeprefix("-> ") if following.startswith("      ->") else ""
            yield Finding(MARKS.get(match[1], match[1]), f"node's {match[2]}", match[3], advice)
