"""Test money: SOL as on any test validator, and the test mints' tokens by the project's own methods."""

import itertools
from typing import Any

from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_ID
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from devnet.chain import Chain
from devnet.errors import InvalidParams
from devnet.genesis import MINTS
from devnet.rpc import params
from devnet.tokens import ASSOCIATED_PROGRAM, TOKEN_PROGRAM, associated_address

UNITS = 200_000
DIGITS_LIMIT = 20
CREATE_IDEMPOTENT, MINT_TO = b"\x01", b"\x07"


class FaucetMethods:
    def __init__(self, chain: Chain) -> None:
        self._chain, self._numbers = chain, itertools.count()

    def requestAirdrop(self, address: Any, lamports: Any, given: Any = None) -> str:
        """A transfer out of the faucet's account; its signature is to be confirmed like any other."""
        params.commitment(params.options(given))
        faucet = self._chain.genesis.faucet
        to = params.pubkey(address)
        amount = params.number(lamports, "lamports")
        moved = transfer(TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=to, lamports=amount))
        return self._send(faucet, [moved])

    def lightyardMints(self) -> dict[str, str]:
        """The test mints' addresses by the asset's name; `getTokenSupply` tells their decimals."""
        return {asset: str(mint) for asset, mint in MINTS.items()}

    def lightyardFaucet(self, address: Any, amount: Any, asset: Any) -> dict[str, str]:
        """Mint `amount` minor units (a number, or a string of digits) of an asset or mint into a wallet's own token account."""
        owner, mint = params.pubkey(address), self._known_mint(asset)
        is_text = isinstance(amount, str) and amount.isdecimal() and len(amount) <= DIGITS_LIMIT
        minor = params.number(int(amount) if is_text else amount, "amount", least=1)
        authority = self._chain.genesis.mint_authority
        account = associated_address(owner, mint)
        makes = _create(authority.pubkey(), account, owner, mint)
        signature = self._send(authority, [makes, _mint(authority, account, mint, minor)])
        return {"signature": signature, "tokenAccount": str(account), "mint": str(mint), "amount": str(minor)}

    @staticmethod
    def _known_mint(asset: Any) -> Pubkey:
        mint = MINTS.get(asset) if isinstance(asset, str) else None
        if mint is None:
            mint = next((known for known in MINTS.values() if str(known) == asset), None)
        if mint is None:
            raise InvalidParams(f"the faucet mints {', '.join(MINTS)} (or give one of their mints), not {asset!r}")
        return mint

    def _send(self, signer: Keypair, instructions: list[Instruction]) -> str:
        """The unit limit differs from one to the next, so that two equal gifts in one slot are two transactions."""
        number = set_compute_unit_limit(UNITS + next(self._numbers) % UNITS)
        blockhash = self._chain.recent_hash()
        message = Message.new_with_blockhash([number, *instructions], signer.pubkey(), blockhash)
        return self._chain.send(bytes(Transaction([signer], message, blockhash)), skip_preflight=False)


def _create(payer: Pubkey, account: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    metas = [
        AccountMeta(payer, True, True),
        AccountMeta(account, False, True),
        AccountMeta(owner, False, False),
        AccountMeta(mint, False, False),
        AccountMeta(SYSTEM_ID, False, False),
        AccountMeta(TOKEN_PROGRAM, False, False),
    ]
    return Instruction(ASSOCIATED_PROGRAM, CREATE_IDEMPOTENT, metas)


def _mint(authority: Keypair, account: Pubkey, mint: Pubkey, minor: int) -> Instruction:
    metas = [
        AccountMeta(mint, False, True),
        AccountMeta(account, False, True),
        AccountMeta(authority.pubkey(), True, False),
    ]
    return Instruction(TOKEN_PROGRAM, MINT_TO + minor.to_bytes(8, "little"), metas)
