"""endpoints.json: what a running stack tells programs on this machine."""

import json
from pathlib import Path
from typing import Any, cast

from app.errors import ConfigError

NAME = "endpoints.json"


def write(home: Path, body: dict[str, Any]) -> None:
    """Only its owner may read it, for there are keys in it; it is never half-written."""
    part = home / f"{NAME}.part"
    part.touch(mode=0o600)
    part.write_text(json.dumps(body, indent=1) + "\n")
    part.replace(home / NAME)


def read(home: Path) -> dict[str, Any]:
    """What the stack of `home` wrote; ConfigError when none runs there."""
    try:
        return cast(dict[str, Any], json.loads((home / NAME).read_text()))
    except FileNotFoundError:
        raise ConfigError(
            f"no stack is running in {home}: start one with `make up`, or set LIGHTYARD_HOME to the folder of one that runs"
        ) from None
    except ValueError:
        raise ConfigError(f"{home / NAME} is not what a stack writes: stop the stack and start it again") from None


def forget(home: Path) -> None:
    """Nobody reads of servers that are not there."""
    (home / NAME).unlink(missing_ok=True)
