"""x402, version 2, the scheme `exact` on Solana: its headers, and what a transaction that pays by it must be.

The payer signs a transfer whose fee the hub pays, and hands it over unsent. The hub signs as the payer of the fee, so whatever it
signs must move nothing of its own: its key stands in no instruction at all, and the fee is bounded.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from app.errors import InvalidInput
from app.values import token_accounts
from app.values.money import MAX_MINOR
from app.values.solana_payouts import MEMO, TOKEN, TRANSFER_CHECKED

VERSION, SCHEME = 2, "exact"
REQUIRED_HEADER, SIGNATURE_HEADER, RESPONSE_HEADER = "PAYMENT-REQUIRED", "PAYMENT-SIGNATURE", "PAYMENT-RESPONSE"
HEADER_LIMIT_CHARS, TRANSACTION_LIMIT_BYTES = 16_384, 1232
BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
LIGHTHOUSE = Pubkey.from_string("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95")
WRAPPED_SOL = "So11111111111111111111111111111111111111112"  # the token that SOL is in token accounts, one for one
SIGNERS, FEE_PER_SIGNATURE = 2, 5000
SET_LIMIT, SET_PRICE, MICRO = 2, 3, 10**6


@dataclass(frozen=True, slots=True)
class Requirement:
    """One way to pay: so many minor units of a token (`asset` is its mint) to a wallet, with a memo, the fee paid by `fee_payer`.
    `network` is the chain's CAIP-2 name; `reference`, the hub's own, comes back with what the client accepts."""

    network: str
    asset: str
    amount_minor: int
    pay_to: str
    memo: str
    fee_payer: str
    seconds: int
    reference: str = ""

    def written(self) -> dict[str, Any]:
        """As it stands in `accepts`."""
        return {
            "scheme": SCHEME,
            "network": self.network,
            "asset": self.asset,
            "amount": str(self.amount_minor),
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.seconds,
            "extra": {"memo": self.memo, "feePayer": self.fee_payer, **({"reference": self.reference} if self.reference else {})},
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client sends: the way that it chose, as it wrote it, and the transaction."""

    accepted: Mapping[str, Any]
    raw: bytes


class Unfit(InvalidInput):
    """A payment that can't be taken; `code` is x402's own word for why."""

    code = "invalid_exact_svm_payload"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a transaction of the scheme does. `message_hash` names it whoever has signed it; `payer` is whose tokens move, out of
    `mint`, to the token account `account`; `fee_lamports` at most leave the payer of the fee."""

    message_hash: str
    blockhash: str
    fee_payer: str
    payer: str
    mint: str
    account: str
    amount_minor: int
    memos: tuple[str, ...]
    fee_lamports: int


def network_of(genesis_hash: str) -> str:
    """A Solana cluster's CAIP-2 name."""
    return f"solana:{genesis_hash[:32]}"


def write_required(url: str, description: str, ways: Sequence[Requirement], error: str = "Payment required") -> str:
    """The value of PAYMENT-REQUIRED."""
    resource = {"url": url, "description": description, "mimeType": "application/json"}
    accepts = [way.written() for way in ways]
    return _encode({"x402Version": VERSION, "error": error, "resource": resource, "accepts": accepts})


def write_response(network: str, payer: str, tx_signature: str, problem: str | None = None) -> str:
    """The value of PAYMENT-RESPONSE; `problem` is x402's word for why it is not settled (yet)."""
    told = {"success": problem is None, "payer": payer, "transaction": tx_signature, "network": network}
    return _encode(told if problem is None else told | {"errorReason": problem})


def _encode(value: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def read_offer(header: str) -> Offer:
    """Read PAYMENT-SIGNATURE; Unfit says what it should be."""
    body = _decode(header)
    if body.get("x402Version") != VERSION:
        raise Unfit(f"{SIGNATURE_HEADER} must be of x402 version {VERSION}", code="invalid_x402_version")
    payload, accepted = body.get("payload"), body.get("accepted")
    text = payload.get("transaction") if isinstance(payload, dict) else None
    if not isinstance(accepted, dict) or not isinstance(text, str):
        raise Unfit(f"{SIGNATURE_HEADER} must hold `accepted` and `payload.transaction`")
    try:
        return Offer(accepted, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise _undecodable("payload.transaction must be base64") from None


def _decode(header: str) -> dict[str, Any]:
    said = f"{SIGNATURE_HEADER} must be the base64 of a JSON object"
    if len(header) > HEADER_LIMIT_CHARS:
        raise Unfit(f"{SIGNATURE_HEADER} has more than {HEADER_LIMIT_CHARS} characters")
    try:
        body = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise Unfit(said) from None
    if not isinstance(body, dict):
        raise Unfit(said)
    return body


def _undecodable(message: str) -> Unfit:
    return Unfit(message, code="invalid_exact_svm_payload_transaction_could_not_be_decoded")


def assert_accepted(offer: Offer, way: Requirement) -> None:
    """Unfit unless the client chose this way, as it was offered."""
    words = {
        "scheme": "unsupported_scheme",
        "network": "network_mismatch",
        "asset": "invalid_exact_svm_payload_mint_mismatch",
        "payTo": "invalid_exact_svm_payload_recipient_mismatch",
        "amount": "invalid_exact_svm_payload_amount_insufficient",
    }
    asked = way.written()
    for name, code in words.items():
        if offer.accepted.get(name) != asked[name]:
            raise Unfit(f"`accepted.{name}` must be {asked[name]!r}, as the 402 of this payment says", code=code)


def assert_pays(transfer: Transfer, way: Requirement) -> None:
    """Unfit unless the transaction pays what was asked for."""
    if transfer.fee_payer != way.fee_payer:
        raise Unfit(f"the fee must be paid by {way.fee_payer}", code="fee_payer_not_managed_by_facilitator")
    if transfer.mint != way.asset:
        raise Unfit(f"the transfer must be of the token {way.asset}", code="invalid_exact_svm_payload_mint_mismatch")
    if transfer.account != token_accounts.address(way.pay_to, way.asset):
        said = f"the transfer must go to the associated token account of {way.pay_to}"
        raise Unfit(said, code="invalid_exact_svm_payload_recipient_mismatch")
    if transfer.amount_minor < way.amount_minor:
        said = f"{transfer.amount_minor} of {way.amount_minor} minor units would be paid"
        raise Unfit(said, code="invalid_exact_svm_payload_amount_insufficient")
    if transfer.amount_minor > MAX_MINOR:
        raise Unfit("nobody has so much", code="invalid_exact_svm_payload_amount_out_of_range")
    if len(transfer.memos) != 1:
        raise Unfit(f"there must be one memo: {way.memo}", code="invalid_exact_svm_payload_memo_count")
    if transfer.memos[0] != way.memo:
        raise Unfit(f"the memo must be exactly {way.memo}", code="invalid_exact_svm_payload_memo_mismatch")


def read_transfer(raw: bytes) -> Transfer:
    """What a transaction does that its payer has signed, and that lacks only the signature of whoever pays its fee; Unfit for any
    other."""
    transaction = _transaction(raw)
    message = transaction.message
    keys = list(message.account_keys)
    if len(set(keys)) != len(keys):
        raise _undecodable("an account may stand in the list once")
    _assert_signed(transaction, keys)
    instructions = list(message.instructions)
    if not 3 <= len(instructions) <= 6:
        raise Unfit("there must be 3 to 6 instructions", code="invalid_exact_svm_payload_transaction_instructions_length")
    programs = [keys[item.program_id_index] for item in instructions]
    if any(item.program_id_index == 0 or 0 in bytes(item.accounts) for item in instructions):
        said = "whoever pays the fee may stand in no instruction"
        raise Unfit(said, code="invalid_exact_svm_payload_transaction_fee_payer_transferring_funds")
    fee = _fee(programs, [bytes(item.data) for item in instructions[:2]])
    if programs[2] != TOKEN:
        raise _no_transfer()
    memos = tuple(_memos(programs[3:], [bytes(item.data) for item in instructions[3:]]))
    data, names = bytes(instructions[2].data), [keys[index] for index in bytes(instructions[2].accounts)]
    if len(data) != 10 or data[0] != TRANSFER_CHECKED or len(names) != 4 or names[3] != keys[1]:
        raise _no_transfer()
    return Transfer(
        message_hash=hashlib.sha256(to_bytes_versioned(message)).hexdigest(),
        blockhash=str(message.recent_blockhash),
        fee_payer=str(keys[0]),
        payer=str(keys[1]),
        mint=str(names[1]),
        account=str(names[2]),
        amount_minor=int.from_bytes(data[1:9], "little"),
        memos=memos,
        fee_lamports=fee,
    )


def _transaction(raw: bytes) -> VersionedTransaction:
    if len(raw) > TRANSACTION_LIMIT_BYTES:
        raise _undecodable(f"a transaction has at most {TRANSACTION_LIMIT_BYTES} bytes")
    try:
        found = VersionedTransaction.from_bytes(raw)
        found.sanitize()
    except Exception as error:  # solders raises several kinds, none of them a ValueError
        raise _undecodable(f"the transaction can't be read: {error}") from None
    if bytes(found) != raw or (isinstance(found.message, MessageV0) and found.message.address_table_lookups):
        raise _undecodable("the transaction must stand as Solana writes it, without address lookup tables")
    return found


def _assert_signed(transaction: VersionedTransaction, keys: Sequence[Pubkey]) -> None:
    message: Message | MessageV0 = transaction.message
    given = list(transaction.signatures)
    if message.header.num_required_signatures != SIGNERS or len(given) != SIGNERS:
        raise Unfit("exactly two must sign: whoever pays the fee, then the payer")
    if not given[1].verify(keys[1], to_bytes_versioned(message)):
        raise Unfit("the payer's signature does not fit", code="invalid_exact_svm_payload_signature")


def _fee(programs: Sequence[Pubkey], data: Sequence[bytes]) -> int:
    """What leaves the payer of the fee at most."""
    words = ("compute_limit", "compute_price")
    for place, (kind, size) in enumerate(((SET_LIMIT, 5), (SET_PRICE, 9))):
        if programs[place] != BUDGET or len(data[place]) != size or data[place][0] != kind:
            code = f"invalid_exact_svm_payload_transaction_instructions_{words[place]}_instruction"
            raise Unfit("the first two instructions set the limit of compute units, and their price", code=code)
    units, price = (int.from_bytes(item[1:], "little") for item in data)
    return SIGNERS * FEE_PER_SIGNATURE + -(-units * price // MICRO)


def _memos(programs: Sequence[Pubkey], data: Sequence[bytes]) -> list[str]:
    found = []
    for place, (program, content) in enumerate(zip(programs, data, strict=True)):
        if program == MEMO:
            found.append(content.decode(errors="replace"))
        elif program != LIGHTHOUSE:
            word = ("fourth", "fifth", "sixth")[place]
            said = "after the transfer there may be memos and Lighthouse's assertions, and nothing else"
            raise Unfit(said, code=f"invalid_exact_svm_payload_unknown_{word}_instruction")
    return found


def _no_transfer() -> Unfit:
    said = "the third instruction must be SPL token's TransferChecked, signed by whose tokens they are"
    return Unfit(said, code="invalid_exact_svm_payload_no_transfer_instruction")


def signed(raw: bytes, sign: Callable[[bytes], Signature]) -> bytes:
    """The transaction with the signature of whoever pays its fee; `sign` signs a message."""
    transaction = _transaction(raw)
    signature = sign(to_bytes_versioned(transaction.message))
    return bytes(VersionedTransaction.populate(transaction.message, [signature, transaction.signatures[1]]))


def signature_of(raw: bytes) -> str:
    """The signature that names a signed transaction on the chain."""
    return str(VersionedTransaction.from_bytes(raw).signatures[0])
