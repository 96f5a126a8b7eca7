"""What landed on the chain, as an RPC node remembers it."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    InnerInstruction,
    SimulatedTransactionInfo,
    TransactionMetadata,
)

MEMO_PROGRAMS = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}


@dataclass(slots=True)
class Outcome:
    """What the SVM said. `error` is Solana's JSON of a TransactionError; `ran` is False when nothing was executed."""

    error: Any
    logs: list[str]
    units: int = 0
    inner: list[list[tuple[CompiledInstruction, int]]] = field(default_factory=list)
    returned: tuple[Pubkey, bytes] | None = None
    ran: bool = True


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """A token account's place in its transaction, and what it holds in minor units."""

    index: int
    mint: Pubkey
    owner: Pubkey
    program: Pubkey
    amount: int
    decimals: int


@dataclass(slots=True)
class Landed:
    """A transaction on the chain, the `number`th: `keys` are its own, then `writable` and `readonly` from lookup tables."""

    raw: bytes
    transaction: VersionedTransaction
    slot: int
    block_time: int
    outcome: Outcome
    keys: list[Pubkey]
    writable: list[Pubkey]
    readonly: list[Pubkey]
    pre: list[int]
    post: list[int]
    pre_tokens: list[TokenBalance]
    post_tokens: list[TokenBalance]
    number: int = 0

    @property
    def signature(self) -> str:
        return str(self.transaction.signatures[0])

    @property
    def error(self) -> Any:
        return self.outcome.error

    @property
    def fee(self) -> int:
        """What left the transaction's accounts altogether."""
        return sum(self.pre) - sum(self.post)

    def instructions(self) -> list[CompiledInstruction]:
        """The message's own and, after each, the ones that it called."""
        found = []
        for index, item in enumerate(self.transaction.message.instructions):
            found.append(item)
            found.extend(inner for inner, _ in (self.outcome.inner[index] if index < len(self.outcome.inner) else []))
        return found

    def memos(self) -> str | None:
        """As a node joins them: `[length] text; [length] text`."""
        memos = [
            bytes(item.data)
            for item in self.transaction.message.instructions
            if str(self.keys[item.program_id_index]) in MEMO_PROGRAMS
        ]
        return "; ".join(f"[{len(memo)}] {memo.decode('utf-8', 'replace')}" for memo in memos) or None


def read_outcome(result: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo) -> Outcome:
    failed = isinstance(result, FailedTransactionMetadata)
    meta = result if isinstance(result, TransactionMetadata) else result.meta()
    error = error_json(result) if isinstance(result, FailedTransactionMetadata) else None
    returned = meta.return_data()  # type: ignore[attr-defined]  # the stubs lack it
    return Outcome(
        error=error,
        logs=list(meta.logs()),
        units=meta.compute_units_consumed(),
        inner=[[_inner(item) for item in group] for group in meta.inner_instructions()],
        returned=(returned.program_id, bytes(returned.data)) if bytes(returned.data) else None,
        ran=not failed or any(bytes(meta.signature())),  # the SVM names no signature when it did not begin
    )


def _inner(item: InnerInstruction) -> tuple[CompiledInstruction, int]:
    return item.instruction(), item.stack_height()  # type: ignore[attr-defined]  # the stubs lack it


def error_json(failed: FailedTransactionMetadata) -> Any:
    return json.loads(failed.to_json())["err"]


def is_writable(message: Message | MessageV0, index: int) -> bool:
    """Whether the message asks to write to its own key `index`; a program that it calls is never written to."""
    header = message.header
    signers, count = header.num_required_signatures, len(message.account_keys)
    if any(item.program_id_index == index for item in message.instructions):
        return False
    if index < signers:
        return index < signers - header.num_readonly_signed_accounts
    return index < count - header.num_readonly_unsigned_accounts


class History:
    """Every landed transaction by signature and by address, in the order of landing."""

    def __init__(self) -> None:
        self.order: list[Landed] = []
        self._by_signature: dict[str, Landed] = {}
        self._by_address: dict[str, list[Landed]] = defaultdict(list)

    def add(self, landed: Landed) -> None:
        landed.number = len(self.order)
        self.order.append(landed)
        self._by_signature[landed.signature] = landed
        for key in dict.fromkeys(map(str, landed.keys)):
            self._by_address[key].append(landed)

    def get(self, signature: str) -> Landed | None:
        return self._by_signature.get(signature)

    def of_address(self, address: str) -> list[Landed]:
        """The oldest first."""
        return self._by_address.get(address, [])
