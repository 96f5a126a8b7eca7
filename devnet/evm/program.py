"""Which program is the local EVM chain on this machine, and how it is started."""

import json
import os
import shutil
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TESTER = FOLDER.parent.parent / ".venv-evm"
STATE_SECONDS = "1"  # a killed chain has lost what it did since then


def find_anvil() -> Path | None:
    """The pinned anvil, else one that the machine has; None without."""
    pinned = sorted((FOLDER / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    usable = [path for path in pinned if os.access(path, os.X_OK)]
    installed = shutil.which("anvil")
    return usable[0] if usable else Path(installed) if installed else None


def command(port: int, home: Path) -> list[str] | None:
    """The command line of a chain on 127.0.0.1:`port` over the folder `home`; None when nothing is installed for it.

    Each transaction is mined at once into a block of its own, so a chain that lies idle does not grow.
    """
    anvil = find_anvil()
    if anvil is not None:
        state = ["--state", str(home / "state.json"), "--state-interval", STATE_SECONDS]
        return [str(anvil), "--host", "127.0.0.1", "--port", str(port), "--quiet", *state]
    if (TESTER / ".stamp").exists():  # whole, not half installed
        return [str(TESTER / "bin" / "python"), str(FOLDER / "tester.py"), "--port", str(port)]
    return None


def prepare(home: Path) -> None:
    """Before each start: a state that a killed chain left half-written would keep it from ever starting again."""
    home.mkdir(parents=True, exist_ok=True)
    state = home / "state.json"
    try:
        json.loads(state.read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        state.replace(home / "state.broken.json")
