"""Hold an entry against the chain: its rows as they are now, its tree, and the root that anybody can read on the chain."""

import uuid
from dataclasses import dataclass
from typing import Protocol

from app.core import proofs
from app.core.proofs import Difference, EntryId, Proof
from app.db import Database
from app.models.anchors import AnchorBatch
from app.values import anchoring
from app.values.anchoring import OnChain


class PublicChain(Protocol):
    """What this flow asks of a chain; ChainUnavailable means that nothing is known."""

    @property
    def is_configured(self) -> bool: ...

    def chain_id(self) -> int: ...

    def on_chain(self, tx_hash: str) -> OnChain | None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` says why it is not verified; empty when it is. `difference` is the first changed row of the whole tree."""

    proof: Proof
    on_chain_root: bytes | None
    block_number: int | None
    difference: Difference | None
    reason: str

    @property
    def is_verified(self) -> bool:
        return not self.reason


def verify(database: Database, chain: PublicChain, entry_id: EntryId, account_id: uuid.UUID | None) -> Verdict:
    """Read the chain, re-read the rows of the entry's tree, and say what differs; `account_id` None: of anybody's entries.

    The rows are held against the root on the chain; before it is there, against the tree's own. ChainUnavailable when the
    chain does not answer: nothing is known then.
    """
    with database.read_only() as session:
        proof = proofs.prove(session, entry_id, account_id)
    found, reason = _read_chain(chain, proof.batch)
    anchored = anchoring.decode(found.data) if found else None
    root = anchored[1] if anchored else None
    if found and anchored != (proof.batch.tree_size, proof.batch.root):
        reason = "the root on the chain is not that of this tree"
    with database.unit_of_work() as session:
        difference = proofs.first_difference(session, proof.batch, root or proof.batch.root)
    if difference is not None:
        reason = difference.message
    return Verdict(proof, root, found.block_number if found else None, difference, reason)


def _read_chain(chain: PublicChain, batch: AnchorBatch) -> tuple[OnChain | None, str]:
    """(what the chain has, why it has nothing)."""
    if batch.tx_hash is None:
        return None, "the tree is built and its root is not on a chain yet"
    if not chain.is_configured:
        return None, "no EVM chain is configured here: set EVM_RPC_URL"
    chain_id = chain.chain_id()
    if chain_id != batch.chain_id:
        return None, f"the root was anchored on chain {batch.chain_id}, and EVM_RPC_URL is of chain {chain_id}"
    found = chain.on_chain(batch.tx_hash)
    return found, "" if found else "the chain does not have the transaction"
