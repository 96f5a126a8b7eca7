"""RenderTrust: edge nodes register and give signs of life. What they work on comes by the relay, or by the node protocol."""

from typing import Any

from flask_smorest import Blueprint

from app.api import broker, security
from app.api.context import hub, unit_of_work
from app.api.rendertrust.schemas import nodes as schemas
from app.core import nodes
from app.values import node_keys

NODE_TOKEN: dict[str, Any] = {"security": [{"nodeToken": []}]}
blueprint = Blueprint("rendertrust_nodes", __name__, url_prefix="/api/v1/nodes", description="Edge nodes")


@blueprint.post("/register")
@blueprint.arguments(schemas.NodeRegistrationSchema)
@blueprint.response(201, schemas.RegisteredNodeSchema)
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Register a node, or find it again by its key; the token is new, and proven once its challenge is answered."""
    node = {
        "name": body["name"],
        "public_key": node_keys.read(body["public_key"]),
        "capabilities": list(dict.fromkeys(body["capabilities"])),
        "machine": {"metadata": body["metadata"]},
        "agent": "",
    }
    with unit_of_work() as session:
        voucher = security.voucher(session, body["provider_id"])
        proof_required = hub().settings.node_proof_required
        made = nodes.register(session, node, voucher.provider, voucher.is_operators, proof_required)
    token = security.make_node_token(made.token_id)
    answer = {"node_id": made.node_id, "challenge": made.challenge, "token": token, "status": "REGISTERED"}
    names = node["capabilities"]
    queues = broker.queues(made, names)
    return answer | {"queues": queues} | broker.registered(made, voucher.provider, voucher.is_operators, names)


@blueprint.post("/heartbeat")
@blueprint.doc(**NODE_TOKEN)
@blueprint.arguments(schemas.NodeHeartbeatSchema)
@blueprint.response(200, schemas.BeatenSchema)
@blueprint.alt_response(401, "UNAUTHORIZED")
def heartbeat(body: dict[str, Any]) -> dict[str, Any]:
    """A sign of life; with `challenge_signature`, also the proof of the node's key."""
    with unit_of_work() as session:
        node = security.calling_node(session)
        if body["challenge_signature"] is not None:
            nodes.prove(session, node, body["challenge_signature"])
            node = security.calling_node(session)
        status = nodes.heartbeat(session, node, body, hub().settings.node_proof_required)
    return {"node_id": node.id, "status": status, "acknowledged": True}
