"""A file whose age says whether a process still turns: touched by worker, beat, poller and backup, looked at by health checks.

`python -m app.pulse NAME SECONDS` exits 0 while NAME's file in PULSE_FOLDER is younger than so many seconds.
"""

import sys
import time
from pathlib import Path

from app.config import load
from app.errors import LightyardError


def touch(folder: str, name: str) -> None:
    """Say that `name` turns; nothing where no folder is set."""
    if folder:
        Path(folder, f"{name}.pulse").touch()


def age_seconds(folder: str, name: str) -> float | None:
    """How long ago it said so; None where it never did. A time to come is as far off: the clock was set back since."""
    try:
        return abs(time.time() - Path(folder, f"{name}.pulse").stat().st_mtime)
    except FileNotFoundError:
        return None


def main(arguments: list[str]) -> int:
    """The health check: 0 healthy, 1 not, and a line that says why."""
    name, limit_seconds = arguments[0], float(arguments[1])
    folder = load().pulse_folder
    if not folder:
        print("PULSE_FOLDER is not set: nobody can tell")
        return 1
    age = age_seconds(folder, name)
    told = "never" if age is None else f"{age:.0f} s ago"
    print(f"{name} turned {told}, {limit_seconds:.0f} s are allowed")
    return 0 if age is not None and age <= limit_seconds else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LightyardError as error:
        print(error.message, file=sys.stderr)
        sys.exit(1)
