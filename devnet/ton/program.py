"""How the local TON is started: it runs in an environment of its own, and this file imports nothing of it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv-ton"
READY = "ton ready "


def command(port: int, home: Path | None, block_ms: int, *options: str) -> list[str] | None:
    """The command line of a chain on 127.0.0.1:`port`, to be run in ROOT; None when `make ton-chain` has not installed it."""
    if not (ENVIRONMENT / ".stamp").exists():  # whole, not half installed
        return None
    where = ["--home", str(home)] if home is not None else []
    python = [str(ENVIRONMENT / "bin" / "python"), "-m", "devnet.ton"]
    return [*python, "--port", str(port), *where, "--block-ms", str(block_ms), *options]
