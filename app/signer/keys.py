"""The hot wallets' keys: files that only their owner may read, opened by the signer and by nobody else."""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.errors import ConfigError
from app.values.payouts import SOLANA, TON

SECRET_BYTES = 32
FEES = "fees"  # of a wallet on Solana that holds nothing but what fees take: it signs for strangers' transactions
NAMES = {SOLANA: "solana.json", TON: "ton.json", FEES: "solana-fees.json"}


@dataclass(frozen=True, slots=True)
class Keys:
    """Seeds by chain, and of the wallet that pays fees, 32 bytes each; a chain without a key pays nothing."""

    seeds: dict[str, bytes]


def load(folder: Path, make: bool) -> Keys:
    """The keys in a folder: a JSON list of 64 bytes (Solana CLI) or of 32. `make`: a missing one is made, for local chains."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Keys({chain: seed for chain, name in NAMES.items() if (seed := _seed(folder / name, make)) is not None})


def replace(folder: Path, chain: str, now: datetime) -> Path:
    """A new key for a chain; returns where the old one is kept, for what its wallet still holds. ConfigError where there is none.

    A crash in between leaves no key, and `make-keys` makes one.
    """
    path = folder / NAMES[chain]
    if _seed(path, make=False) is None:
        raise ConfigError(f"{path} is not there: `lightyard signer make-keys` makes a first key")
    retired = path.with_suffix(f".retired-{now:%Y%m%dT%H%M%S%fZ}")
    path.rename(retired)
    _seed(path, make=True)
    return retired


def _seed(path: Path, make: bool) -> bytes | None:
    if not path.exists():
        if not make:
            return None
        _write(path, list(secrets.token_bytes(SECRET_BYTES)))
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} can be read by others: chmod 600 it")
    try:
        found = bytes(json.loads(path.read_text()))
    except (ValueError, TypeError):
        found = b""
    if len(found) not in (SECRET_BYTES, 2 * SECRET_BYTES):
        raise ConfigError(f"{path} is no key: a JSON list of 32 or 64 numbers is one")
    return found[:SECRET_BYTES]


def _write(path: Path, numbers: list[int]) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(numbers))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
