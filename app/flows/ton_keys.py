"""Whose key a deployed TON wallet obeys, asked of the chain: for wallets that don't say from which state they were made."""

from typing import Any, Protocol

from app.errors import ChainUnreadable, Unauthenticated
from app.values import ton_wallets
from app.values.ton_address import TonAddress
from app.values.ton_chain import TonAccount


class Ton(Protocol):
    """What is asked of TON; ChainUnavailable means that nothing is known. The operator's node is believed."""

    def account(self, address: TonAddress) -> TonAccount: ...

    def run_get_method(self, address: TonAddress, name: str) -> list[Any]: ...


def deployed_key(ton: Ton, address: TonAddress) -> bytes:
    """The key (32 bytes) of the wallet that is deployed there.

    Unauthenticated when nothing is, or no wallet whose code is known: any other contract may say anybody's key.
    """
    account = ton.account(address)
    if account.state != "active":
        message = "this wallet is not deployed yet; send its state_init in proof.state_init"
        raise Unauthenticated(message, code="STATE_INIT_MISSING")
    wallet = ton_wallets.WALLETS.get(account.code_hash or "")
    if wallet is None:
        raise ton_wallets.unknown_wallet()
    if wallet.switch_offset is not None and not _number(ton, address, "is_signature_allowed"):
        raise ton_wallets.switched_off()
    key = _number(ton, address, "get_public_key")
    if not 0 <= key < 2**256:
        raise ChainUnreadable(f"TON's wallet {address} says a key that is none")
    return key.to_bytes(32)


def _number(ton: Ton, address: TonAddress, method: str) -> int:
    stack = ton.run_get_method(address, method)
    if len(stack) != 1 or type(stack[0]) is not int:
        raise ChainUnreadable(f"TON's wallet {address} does not say its {method}")
    return stack[0]
