"""Transactions as clients of x402 sign them, and as those sign them who try something else."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from nacl import bindings as ed25519
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from app.values.solana_payouts import MEMO, TOKEN, token_account
from app.values.x402 import BUDGET, Requirement

UNITS, PRICE = 20_000, 1


def budget(units: int = UNITS, price: int = PRICE) -> list[Instruction]:
    limit = bytes([2]) + units.to_bytes(4, "little")
    return [Instruction(BUDGET, limit, []), Instruction(BUDGET, bytes([3]) + price.to_bytes(8, "little"), [])]


def transfer(payer: Keypair, way: Requirement, minor: int | None = None, decimals: int = 6, **changes: Any) -> Instruction:
    """`changes`: other accounts, by name (source, mint, target, owner), or other data."""
    mint, owner = Pubkey.from_string(way.asset), payer.pubkey()
    named = {
        "source": token_account(owner, mint),
        "mint": mint,
        "target": token_account(Pubkey.from_string(way.pay_to), mint),
        "owner": owner,
    } | changes
    amount = way.amount_minor if minor is None else minor
    data = changes.get("data", b"\x0c" + amount.to_bytes(8, "little") + bytes([decimals]))
    metas = [
        AccountMeta(named["source"], False, True),
        AccountMeta(named["mint"], False, False),
        AccountMeta(named["target"], False, True),
        AccountMeta(named["owner"], True, False),
    ]
    return Instruction(TOKEN, data, metas)


def memo(text: str) -> Instruction:
    return Instruction(MEMO, text.encode(), [])


def signed(
    payer: Keypair, fee_payer: str, instructions: Sequence[Instruction], blockhash: str, others: Sequence[Keypair] = (),
    is_legacy: bool = False,
) -> bytes:
    """Signed by all but whoever pays the fee."""
    key, recent = Pubkey.from_string(fee_payer), Hash.from_string(blockhash)
    message: Message | MessageV0
    if is_legacy:
        message = Message.new_with_blockhash(list(instructions), key, recent)
    else:
        message = MessageV0.try_compile(key, list(instructions), [], recent)
    keys = {str(item.pubkey()): item for item in (payer, *others)}
    given = []
    for index in range(message.header.num_required_signatures):
        holder = keys.get(str(message.account_keys[index]))
        given.append(Signature.default() if holder is None else holder.sign_message(to_bytes_versioned(message)))
    return bytes(VersionedTransaction.populate(message, given))


def payment(payer: Keypair, way: Requirement, blockhash: str, **changes: Any) -> bytes:
    """What a well-behaved client signs."""
    instructions = [*budget(), transfer(payer, way, **changes), memo(way.memo)]
    return signed(payer, way.fee_payer, instructions, blockhash)


def signed_otherwise(raw: bytes, payer: Keypair) -> bytes:
    """The same message, with another signature of the same payer's, which holds as well: the number that a signature begins with
    is the signer's to choose."""
    transaction = VersionedTransaction.from_bytes(raw)
    message = to_bytes_versioned(transaction.message)
    seed = hashlib.sha512(bytes(payer)[:32]).digest()
    secret = bytearray(seed[:32])
    secret[0], secret[31] = secret[0] & 248, secret[31] & 127 | 64
    number = ed25519.crypto_core_ed25519_scalar_reduce(hashlib.sha512(seed + message).digest())
    point = ed25519.crypto_scalarmult_ed25519_base_noclamp(number)
    hashed = hashlib.sha512(point + bytes(payer.pubkey()) + message).digest()
    product = ed25519.crypto_core_ed25519_scalar_mul(
        ed25519.crypto_core_ed25519_scalar_reduce(hashed), ed25519.crypto_core_ed25519_scalar_reduce(bytes(secret) + bytes(32))
    )
    own = Signature.from_bytes(point + ed25519.crypto_core_ed25519_scalar_add(number, product))
    assert own != transaction.signatures[1] and own.verify(payer.pubkey(), message)
    return bytes(VersionedTransaction.populate(transaction.message, [transaction.signatures[0], own]))


def header(raw: bytes, way: Requirement, **changes: Any) -> str:
    """PAYMENT-SIGNATURE; `changes` are of what was accepted."""
    body = {
        "x402Version": 2,
        "payload": {"transaction": base64.b64encode(raw).decode()},
        "accepted": {**way.written(), **changes},
    }
    return base64.b64encode(json.dumps(body).encode()).decode()
