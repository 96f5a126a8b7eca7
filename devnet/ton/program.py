"""How the local TON is started: it runs in an environment of its own, and this file imports nothing of it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = ROOT / ".venv-ton"
READY = "ton ready "
# the test jettons that are money, and their masters, at the same addresses in every home: the test of them asks the chain
MASTERS = {"USDT": "EQCUHn9Ag7Vl384t4JYfdxkCebxx51785EPoFW1Blz3rWuZv"}

# the test wallet "hub", to which a local hub has TON and jettons sent; its key is no secret
HUB_WALLET = "UQBWiFPat5lUqJ0AnpOqwx22rcBOjsqSWv9l2JUduC1ItO3x"


def api_url(port: int) -> str:
    """toncenter's API v2 of a chain that runs here."""
    return f"http://127.0.0.1:{port}/api/v2"


def command(port: int, home: Path | None, block_ms: int, *options: str) -> list[str] | None:
    """The command line of a chain on 127.0.0.1:`port`, to be run in ROOT; None when `make ton-chain` has not installed it."""
    if not (ENVIRONMENT / ".stamp").exists():  # whole, not half installed
        return None
    where = ["--home", str(home)] if home is not None else []
    python = [str(ENVIRONMENT / "bin" / "python"), "-m", "devnet.ton"]
    return [*python, "--port", str(port), *where, "--block-ms", str(block_ms), *options]
