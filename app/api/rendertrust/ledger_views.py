"""RenderTrust: proofs of ledger entries, and the anchors of their trees."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, unit_of_work
from app.api.rendertrust.document import SIGNED_IN
from app.api.rendertrust.schemas import ledger as schemas
from app.core import anchors, proofs
from app.core.proofs import EntryId, Proof
from app.errors import InvalidInput
from app.flows import proofs as proof_flows
from app.flows.proofs import Verdict
from app.models.anchors import AnchorBatch

blueprint = Blueprint("rendertrust_ledger", __name__, url_prefix="/api/v1/ledger", description="Proofs of ledger entries")
SCOPE = "credits:read"
NUMBER_MOST = 2**63 - 1


@blueprint.get("/<entry_id>/proof")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ProofSchema)
@blueprint.alt_response(404, description="No such entry of the caller's, or not in a tree yet")
def proof(entry_id: str) -> dict[str, Any]:
    """The Merkle proof of an entry, by its integer or its UUID: leaf, path, root, and the transaction that anchors it."""
    number = read_entry_id(entry_id)
    with unit_of_work() as session:
        return _proof_body(proofs.prove(session, number, _whose(security.caller(session, SCOPE))))


@blueprint.get("/<entry_id>/verify")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.VerdictSchema)
@blueprint.alt_response(404, description="No such entry of the caller's, or not in a tree yet")
@blueprint.alt_response(503, description="The chain does not answer: nothing is known")
def verify(entry_id: str) -> dict[str, Any]:
    """Hold the rows of the entry's tree, as they are now, against the root on the chain."""
    number = read_entry_id(entry_id)
    with unit_of_work() as session:
        whose = _whose(security.caller(session, SCOPE))
    return _verdict_body(proof_flows.verify(hub().database, hub().evm, number, whose))


@blueprint.get("/anchors")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.AnchorsQuerySchema, location="query")
@blueprint.response(200, schemas.AnchorsSchema)
def list_anchors(query: dict[str, Any]) -> dict[str, Any]:
    """Trees and their anchors, the newest first."""
    page, per_page = query["page"], query["per_page"]
    with unit_of_work() as session:
        security.caller(session, SCOPE)
        rows, total = anchors.page(session, per_page, (page - 1) * per_page, query["since"])
    shown = [_anchor_body(row) for row in rows]
    return {"anchors": shown, "count": len(shown), "total": total, "page": page, "per_page": per_page}


def read_entry_id(text: str) -> EntryId:
    """An entry's integer or UUID, as paths have it."""
    if text.isascii() and text.isdigit():
        return min(int(text[:20]), NUMBER_MOST)
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput("entry_id must be an entry's integer or its UUID") from None


def _whose(caller: security.Caller) -> uuid.UUID | None:
    """Whose entries the caller may see; None: everybody's."""
    return None if caller.is_operator else caller.account_id


def _proof_body(found: Proof) -> dict[str, Any]:
    batch = found.batch
    return {
        "entry_id": found.number,
        "merkle_root": batch.root.hex(),
        "proof_hashes": [step.sibling.hex() for step in found.steps],
        "directions": [step.side for step in found.steps],
        "anchor_tx_hash": batch.tx_hash,
        "block_number": batch.block_number,
        "leaf": found.leaf,
        "leaf_hash": found.leaf_hash.hex(),
        "leaf_index": found.leaf_index,
        "tree_size": batch.tree_size,
        "chain_id": batch.chain_id,
        "anchor_status": batch.state,
    }


def _verdict_body(found: Verdict) -> dict[str, Any]:
    difference = found.difference
    return {
        "verified": found.is_verified,
        "entry_id": found.proof.number,
        "merkle_root": found.proof.batch.root.hex(),
        "on_chain_root": found.on_chain_root.hex() if found.on_chain_root else None,
        "block_number": found.block_number,
        "tx_hash": found.proof.batch.tx_hash,
        "reason": found.reason or None,
        "first_difference": difference
        and {"entry_id": difference.number, "fields": list(difference.fields), "message": difference.message},
    }


def _anchor_body(batch: AnchorBatch) -> dict[str, Any]:
    return {
        "id": batch.number,
        "merkle_root": batch.root.hex(),
        "tree_size": batch.tree_size,
        "first_entry_id": batch.first_number,
        "last_entry_id": batch.last_number,
        "status": batch.state,
        "chain_id": batch.chain_id,
        "tx_hash": batch.tx_hash,
        "block_number": batch.block_number,
        "created_at": batch.created_at,
        "anchored_at": batch.confirmed_at,
    }
