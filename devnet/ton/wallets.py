"""Wallets that sign: test wallets of the chain's own, made from a name, so that anybody can pay with real transfers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey
from pytoniq_core import Address, Cell, begin_cell

from devnet.ton.messages import address_of, external, state_init

CONTRACTS = Path(__file__).parent / "contracts"
WALLET_ID = 698983191  # the one that wallet v4 has in workchain 0
PAY_FEES_APART, IGNORE_ERRORS = 1, 2
MESSAGES_LIMIT = 4


def contract(name: str) -> Cell:
    return Cell.one_from_boc((CONTRACTS / f"{name}.boc").read_bytes())


@dataclass(frozen=True)
class Outgoing:
    """One message of a transfer and the mode it is sent with."""

    message: Cell
    mode: int = PAY_FEES_APART | IGNORE_ERRORS


class WalletV4:
    """Wallet v4r2 of a key."""

    def __init__(self, seed: bytes) -> None:
        self.key = SigningKey(seed)
        public = self.key.verify_key.encode()
        data = begin_cell().store_uint(0, 32).store_uint(WALLET_ID, 32).store_bytes(public).store_bit(0).end_cell()
        self.init = state_init(contract("wallet-v4r2"), data)
        self.address: Address = address_of(self.init)

    @classmethod
    def named(cls, name: str) -> "WalletV4":
        """Everybody knows this key: a test wallet."""
        return cls(hashlib.sha256(b"lightyard devnet wallet " + name.encode()).digest())

    def transfer(self, outgoing: list[Outgoing], seqno: int, valid_until: int) -> Cell:
        """The signed external message; with seqno 0 it brings the contract along."""
        order = begin_cell().store_uint(WALLET_ID, 32).store_uint(valid_until, 32).store_uint(seqno, 32).store_uint(0, 8)
        for entry in outgoing:
            order.store_uint(entry.mode, 8).store_ref(entry.message)
        unsigned = order.end_cell()
        signature = self.key.sign(unsigned.hash).signature
        body = begin_cell().store_bytes(signature).store_cell(unsigned).end_cell()
        return external(self.address, body, self.init if seqno == 0 else None)
