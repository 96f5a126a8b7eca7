"""The first block: a faucet with test SOL and the mints of the test money. The keys are of one home and worth nothing."""

import hashlib
import json
import os
import secrets
from pathlib import Path

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_ID

from devnet.tokens import MINT_BYTES, TOKEN_PROGRAM

DECIMALS = {"USDC": 6, "USDT": 6, "RENDER": 8}
FAUCET_LAMPORTS = 5 * 10**18
AUTHORITY_LAMPORTS = 10**15


def mint_address(asset: str) -> Pubkey:
    """The same in every home, so that nobody takes one for real money: a digest, and no key fits it."""
    return Pubkey(hashlib.sha256(f"lightyard devnet mint {asset}".encode()).digest())


NATIVE_MINT = Pubkey.from_string("So11111111111111111111111111111111111111112")  # of SOL in token accounts; LiteSVM lacks it
_NATIVE = bytes(44) + bytes([9, 1]) + bytes(36)  # as on every cluster: nobody mints it, 9 decimals, initialized
MINTS = {asset: mint_address(asset) for asset in DECIMALS}


class Genesis:
    """All keys come from one seed."""

    def __init__(self, seed: bytes) -> None:
        self.hash = Hash(hashlib.sha256(b"genesis" + seed).digest())
        self.faucet = Keypair.from_seed(hashlib.sha256(b"faucet" + seed).digest())
        self.mint_authority = Keypair.from_seed(hashlib.sha256(b"mint authority" + seed).digest())

    def apply(self, svm: LiteSVM) -> None:
        svm.set_account(self.faucet.pubkey(), Account(FAUCET_LAMPORTS, b"", SYSTEM_ID))
        svm.set_account(self.mint_authority.pubkey(), Account(AUTHORITY_LAMPORTS, b"", SYSTEM_ID))
        lamports = svm.minimum_balance_for_rent_exemption(MINT_BYTES)
        for asset, mint in MINTS.items():
            svm.set_account(mint, Account(lamports, self._mint(DECIMALS[asset]), TOKEN_PROGRAM))
        svm.set_account(NATIVE_MINT, Account(lamports, _NATIVE, TOKEN_PROGRAM))

    def _mint(self, decimals: int) -> bytes:
        """A mint as the token program packs it: authority, supply 0, decimals, initialized, no freeze authority."""
        authority = (1).to_bytes(4, "little") + bytes(self.mint_authority.pubkey())
        return authority + bytes(8) + bytes([decimals, 1]) + bytes(36)


def load(home: Path | None) -> Genesis:
    """The genesis of a home, made on first use; `mints.json` and the authority's key (Solana CLI format) lie beside it."""
    if home is None:
        return Genesis(secrets.token_bytes(32))
    home.mkdir(parents=True, exist_ok=True)
    path = home / "genesis.json"
    if not path.exists():
        _write(path, json.dumps({"seed": secrets.token_hex(32)}))
    genesis = Genesis(bytes.fromhex(json.loads(path.read_text())["seed"]))
    _write(home / "mint-authority.json", genesis.mint_authority.to_json())
    _write(home / "mints.json", json.dumps({asset: str(mint) for asset, mint in MINTS.items()}, indent=1))
    return genesis


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for its owner only."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(text)
    os.replace(part, path)
