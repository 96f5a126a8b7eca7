"""A ledger proof held against itself, as anybody can: leaf, path and root, from the JSON that the API answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.values import anchoring, ledger_leaf, merkle
from app.values.anchoring import OnChain
from app.values.json_text import read_json


@dataclass(frozen=True, slots=True)
class GivenProof:
    """A proof from somewhere: nothing in it is believed."""

    entry_id: int
    leaf: str
    leaf_hash: bytes
    leaf_index: int
    tree_size: int
    steps: list[merkle.Step]
    root: bytes
    tx_hash: str | None
    block_number: int | None


def read(body: Any) -> GivenProof:
    """The proof in the JSON value; InvalidInput says which member is missing or of the wrong kind."""
    if not isinstance(body, Mapping):
        raise InvalidInput("a proof is the JSON object that GET /api/v1/ledger/{entry_id}/proof answers with")
    try:
        sides = body["directions"]
        siblings = [bytes.fromhex(text) for text in body["proof_hashes"]]
        if len(sides) != len(siblings):
            raise InvalidInput("directions and proof_hashes must have one length")
        return GivenProof(
            entry_id=int(body["entry_id"]),
            leaf=str(body["leaf"]),
            leaf_hash=bytes.fromhex(body["leaf_hash"]),
            leaf_index=int(body["leaf_index"]),
            tree_size=int(body["tree_size"]),
            steps=[merkle.Step(sibling, side) for sibling, side in zip(siblings, sides, strict=True)],
            root=bytes.fromhex(body["merkle_root"]),
            tx_hash=body.get("anchor_tx_hash"),
            block_number=body.get("block_number"),
        )
    except KeyError as error:
        raise InvalidInput(f"the proof has no {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the proof cannot be read: {error}") from None


def problem_of(proof: GivenProof) -> str | None:
    """Why the leaf is not shown to be in the tree; None when it is."""
    if ledger_leaf.hash_text(proof.leaf) != proof.leaf_hash:
        return "leaf_hash is not the hash of leaf"
    if _entry_of(proof.leaf) != proof.entry_id:
        return "the leaf is of another entry"
    if not merkle.is_included(proof.leaf_hash, proof.leaf_index, proof.tree_size, proof.steps, proof.root):
        return "the path does not lead from this leaf, at leaf_index of tree_size leaves, to merkle_root"
    return None


def _entry_of(leaf: str) -> Any:
    try:
        return read_json(leaf)["id"]
    except (InvalidInput, KeyError, TypeError):
        return None


def problem_on_chain(proof: GivenProof, found: OnChain | None) -> str | None:
    """Why the chain does not show the root; None when it does."""
    if found is None or found.block_number != proof.block_number:
        return f"no transaction {proof.tx_hash} in block {proof.block_number} of that chain"
    if anchoring.decode(found.data) != (proof.tree_size, proof.root):
        return "the transaction carries another root or tree size"
    return None
