"""TON wallets: whose key a wallet obeys, read from the code and data that its address is the hash of."""

import base64
import binascii
from dataclasses import dataclass

from app.errors import InvalidInput, Unauthenticated
from app.values import bag_of_cells
from app.values.bag_of_cells import Cell
from app.values.ton_address import TonAddress

# A state init of v4r2, the largest, has 22 cells and 1.1 KB of text.
STATE_INIT_LIMIT_CHARS = 16_384
_CELLS_MOST = 128
# No split depth, no tick-tock, code, data, no library
_CODE_AND_DATA, _STATE_INIT_BITS = 0b00110, 5
_KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Wallet:
    """One version of the wallet contract: where its data keep the owner's key, and a bit that must be 1 for the key to count."""

    version: str
    key_offset: int
    switch_offset: int | None = None


# By the hash of the code's root cell
WALLETS = {
    "84dafa449f98a6987789ba232358072bc0f76dc4524002a5d0918b9a75d2d599": Wallet("v3r2", 64),
    "feb5ff6820e2ff0d9483e7e0d62c817d846789fb4ae580c878866d959dabd5c0": Wallet("v4r2", 64),
    "20834b7b72b112147e1b2fb457b84e74d1a30f04f737d4f62a668e9552d2b72f": Wallet("v5r1", 65, switch_offset=0),
}
VERSIONS = ", ".join(wallet.version for wallet in WALLETS.values())


def read_key(state_init: str, address: TonAddress) -> bytes:
    """The key (32 bytes) that the wallet at this address obeys, by its initial state (a bag of cells in base64).

    InvalidInput for what is none. Unauthenticated when it is another address's, or no wallet's whose code is known: any other
    contract may keep anybody's key in its data.
    """
    root = bag_of_cells.read(_decode(state_init), _CELLS_MOST)
    code, data = _parts(root)
    if root.hash != address.hash_part:
        raise Unauthenticated("state_init is not this address's: send the wallet's own", code="STATE_INIT_FOREIGN")
    wallet = WALLETS.get(code.hash.hex())
    if wallet is None:
        raise unknown_wallet()
    if wallet.switch_offset is not None and not data.number(wallet.switch_offset, 1):
        raise switched_off()
    return data.number(wallet.key_offset, _KEY_BITS).to_bytes(_KEY_BITS // 8)


def unknown_wallet() -> Unauthenticated:
    return Unauthenticated(f"this is no wallet of a known version ({VERSIONS})", code="WALLET_UNKNOWN")


def switched_off() -> Unauthenticated:
    return Unauthenticated("this wallet does not obey its key: signing is switched off in it", code="WALLET_KEY_OFF")


def _decode(text: str) -> bytes:
    if len(text) > STATE_INIT_LIMIT_CHARS:
        raise InvalidInput(f"state_init is longer than {STATE_INIT_LIMIT_CHARS} characters", code="BOC_INVALID")
    try:
        return base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("state_init must be a bag of cells in base64", code="BOC_INVALID") from None


def _parts(root: Cell) -> tuple[Cell, Cell]:
    if root.bits != _STATE_INIT_BITS or len(root.refs) != 2 or root.number(0, _STATE_INIT_BITS) != _CODE_AND_DATA:
        raise InvalidInput("state_init must be a wallet's code and data, and nothing else", code="BOC_INVALID")
    return root.refs[0], root.refs[1]
