"""RenderTrust's edge nodes: known by their key, proven by its signature, healthy by their heartbeats."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from nacl.signing import SigningKey

from app.config import Settings
from app.core import accounts, fleet
from app.factory import create_app
from app.models.nodes import Node, NodeToken
from app.values.node_keys import ED25519_PREFIX
from app.wiring import Hub
from tests.api.conftest import Market
from tests.api.rendertrust.conftest import User

RSA = json.loads((Path(__file__).parents[2] / "values" / "node_keys.json").read_text())


def pem(key: SigningKey) -> str:
    body = base64.b64encode(ED25519_PREFIX + bytes(key.verify_key)).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def body(key: SigningKey, **more: Any) -> dict[str, Any]:
    return {"name": "gpu-node-east-1", "public_key": pem(key), "capabilities": ["render", "inference"],
            "metadata": {"gpu": "RTX 4090"}, **more}


def register(client: FlaskClient, key: SigningKey, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/nodes/register", json=body(key, **more), headers=headers)
    assert answer.status_code == 201, answer.json
    return answer.json  # type: ignore[no-any-return]


def beat(client: FlaskClient, made: dict[str, Any], **sent: Any) -> Any:
    return client.post("/api/v1/nodes/heartbeat", json=sent, headers={"Authorization": f"Bearer {made['token']}"})


def claims(client: FlaskClient, made: dict[str, Any]) -> Any:
    head = {"Authorization": f"Bearer {made['token']}"}
    return client.post("/node/v1/claims", json={"capabilities": ["render"]}, headers=head)


def sign(key: SigningKey, text: str) -> str:
    return base64.b64encode(key.sign(text.encode()).signature).decode()


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


def test_the_seeds_walk(client: FlaskClient, hub: Hub, key: SigningKey) -> None:
    made = register(client, key)
    assert set(made) >= {"node_id", "challenge", "token", "status"} and made["status"] == "REGISTERED"
    assert made["broker"] is None, "who vouches for nobody is told of no broker"
    assert re.fullmatch(r"[0-9a-f]{64}", made["challenge"])
    answer = beat(client, made, current_load=0.45, metadata={"gpu_temp": 72})
    assert answer.status_code == 200
    assert answer.json == {"node_id": made["node_id"], "status": "HEALTHY", "acknowledged": True}
    with hub.database.read_only() as session:
        [row] = fleet.listed(session, 90)
        [node] = session.query(Node).all()
    assert (row["status"], row["load"], row["capabilities"]) == ("HEALTHY", 0.45, ["render", "inference"])
    assert node.machine["metadata"] == {"gpu_temp": 72} and node.provider_id is None and not node.is_trusted


def test_a_known_key_is_the_same_node_with_an_unproven_token(client: FlaskClient, hub: Hub, key: SigningKey) -> None:
    first = register(client, key)
    assert beat(client, first, challenge_signature=sign(key, first["challenge"])).status_code == 200
    second = register(client, key, capabilities=["render"], name="renamed")
    assert second["node_id"] == first["node_id"]
    assert second["challenge"] != first["challenge"] and second["token"] != first["token"]
    with hub.database.read_only() as session:
        proven = session.query(NodeToken.proven_at).filter(NodeToken.challenge == second["challenge"]).scalar()
        [node] = session.query(Node).all()
    assert proven is None and (node.name, node.capabilities) == ("gpu-node-east-1", ["render", "inference"])
    assert beat(client, second, challenge_signature=sign(key, second["challenge"])).status_code == 200
    with hub.database.read_only() as session:
        [node] = session.query(Node).all()
    assert (node.name, node.capabilities) == ("renamed", ["render"])
    raw = base64.b64encode(bytes(key.verify_key)).decode()
    assert register(client, key, public_key=raw)["node_id"] == first["node_id"]


def test_work_wants_the_proof_and_somebody_who_vouches(settings: Settings, key: SigningKey) -> None:
    client = create_app(settings).test_client()
    made = register(client, key)
    assert claims(client, made).json["error"]["code"] == "NODE_UNPROVEN"
    wrong = beat(client, made, challenge_signature=sign(SigningKey.generate(), made["challenge"]))
    assert wrong.status_code == 401 and set(wrong.json) == {"detail"}
    assert beat(client, made, challenge_signature=sign(key, made["challenge"] + "x")).status_code == 401
    assert beat(client, made, challenge_signature="é").status_code == 422
    assert beat(client, made, challenge_signature=sign(key, made["challenge"])).status_code == 200
    assert claims(client, made).json["error"]["code"] == "NODE_NOT_ENROLLED"
    open_hub = create_app(replace(settings, open_nodes=True)).test_client()
    assert claims(open_hub, made).json == {"jobs": {}, "attempts": []}
    unproven = register(client, SigningKey.generate())
    waived = create_app(replace(settings, open_nodes=True, node_proof_required=False)).test_client()
    beat(waived, unproven)
    assert claims(waived, unproven).status_code == 200


def test_rsa_keys_register_and_prove(client: FlaskClient, hub: Hub, key: SigningKey) -> None:
    """The challenge is set to the text that OpenSSL signed for this test: the private key is gone."""
    made = register(client, key, public_key=RSA["rsa"]["public_key"])
    with hub.database.unit_of_work() as session:
        session.query(NodeToken).update({"challenge": RSA["challenge"]})
    assert beat(client, made, challenge_signature=RSA["rsa"]["sha1"]).status_code == 401
    for signature in RSA["rsa"]["signatures"].values():
        assert beat(client, made, challenge_signature=signature).status_code == 200
    head = {"Authorization": f"Bearer {made['token']}"}
    proof = client.post("/node/v1/proof", json={"signature": RSA["rsa"]["signatures"]["pkcs1"]}, headers=head)
    assert proof.status_code == 200, "the node protocol takes the same key"
    assert client.post("/api/v1/nodes/register", json=body(key, public_key=RSA["small_rsa"])).status_code == 422


def test_a_key_of_an_operator_or_of_the_provider_enrols(market: Market, hub: Hub, key: SigningKey) -> None:
    with hub.database.unit_of_work() as session:
        operator = accounts.ensure_operator(session)
        owner = accounts.ensure_identity(session, "solana", market.wallet.address)
        own = accounts.create_key(session, owner, "own", ["nodes:write"])
        stranger = accounts.ensure_identity(session, "solana", "someone")
        others = accounts.create_key(session, stranger, "others", ["nodes:write"])
    client = market.client
    for secret, trusted in ((operator, True), (own, False)):
        made = register(client, SigningKey.generate(), {"X-API-Key": secret}, provider_id=market.provider_id)
        with hub.database.read_only() as session:
            node = session.get_one(Node, made["node_id"])
        assert (str(node.provider_id), node.is_trusted) == (market.provider_id, trusted)
    refused = body(key, provider_id=market.provider_id)
    assert client.post("/api/v1/nodes/register", json=refused, headers={"X-API-Key": others}).status_code == 403
    assert client.post("/api/v1/nodes/register", json=refused, headers={"X-API-Key": "ly_x"}).status_code == 401


@pytest.mark.parametrize(("sent", "kept"), [(-1, 0.0), (0, 0.0), (0.5, 0.5), (1, 1.0), (17, 1.0), (1e300, 1.0), ("0.25", 0.25)])
def test_load_is_cut_to_its_range(client: FlaskClient, hub: Hub, key: SigningKey, sent: Any, kept: float) -> None:
    assert beat(client, register(client, key), current_load=sent).status_code == 200
    with hub.database.read_only() as session:
        assert session.query(Node.current_load).scalar() == kept


@pytest.mark.parametrize(
    "change",
    [{"name": ""}, {"name": "x" * 101}, {"public_key": "x"}, {"public_key": ""}, {"capabilities": []}, {"capabilities": ["a b"]},
     {"capabilities": ["x" * 101]}, {"capabilities": ["render"] * 17}, {"capabilities": "render"}, {"metadata": "x"},
     {"metadata": {"a": "x" * 17_000}}, {"provider_id": "x"}, {"capabilities": ["-Q evil"]}, {"capabilities": ["a\n"]}],
)
def test_bad_registrations_are_422(client: FlaskClient, key: SigningKey, change: dict[str, Any]) -> None:
    answer = client.post("/api/v1/nodes/register", json=body(key, **change))
    assert answer.status_code == 422 and set(answer.json) == {"detail"}


@pytest.mark.parametrize("sent", [{"current_load": "x"}, {"metadata": []}, {"metadata": {"a": "x" * 17_000}},
                                  {"challenge_signature": ""}, {"challenge_signature": "A" * 2049}, {"current_load": None}])
def test_bad_heartbeats_are_422(client: FlaskClient, key: SigningKey, sent: dict[str, Any]) -> None:
    answer = beat(client, register(client, key), **sent)
    assert answer.status_code == 422 and set(answer.json) == {"detail"}


def test_a_users_token_is_no_nodes(client: FlaskClient, user: User, key: SigningKey) -> None:
    assert user.post("nodes/heartbeat", json={}).status_code == 401
    made = register(client, key)
    answer = client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status_code == 401 and set(answer.json) == {"detail"}


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    app.extensions["lightyard"].database.engine.dispose()


def seen(hub: Hub) -> tuple[Any, ...]:
    with hub.database.read_only() as session:
        [node] = session.query(Node).all()
        return node.name, node.capabilities, node.machine, node.is_draining, node.current_load, node.last_heartbeat_at


@pytest.mark.parametrize("path", ["/api/v1/nodes/register", "/node/v1/nodes"])
def test_who_only_knows_a_key_changes_nothing_of_its_node(client: FlaskClient, hub: Hub, key: SigningKey, path: str) -> None:
    node = register(client, key)
    assert beat(client, node, challenge_signature=sign(key, node["challenge"]), current_load=0.5).status_code == 200
    before = seen(hub)
    sent = {"name": "starved", "public_key": pem(key), "capabilities": ["nothing"]}
    thief = client.post(path, json=sent).json
    assert thief["node_id"] == node["node_id"]
    head = {"Authorization": f"Bearer {thief['token']}"}
    assert beat(client, thief, current_load=1, metadata={"gpu": "none"}).status_code == 200
    drained = client.post("/node/v1/heartbeat", json={"draining": True, "machine": {"gpus": []}}, headers=head)
    assert drained.status_code == 200 and drained.json["acknowledged"] is True
    assert seen(hub) == before
    proof = {"signature": sign(key, thief["challenge"])}
    assert client.post("/node/v1/proof", json=proof, headers=head).status_code == 200
    assert seen(hub)[:2] == ("starved", ["nothing"]), "it was the node itself: what it told counts"
    beat(client, node, challenge_signature=sign(key, node["challenge"]))
    assert seen(hub)[:2] == ("starved", ["nothing"]), "once"


def test_where_no_proof_is_asked_for_a_registration_counts_at_once(settings: Settings, hub: Hub, key: SigningKey) -> None:
    client = create_app(replace(settings, node_proof_required=False)).test_client()
    register(client, key)
    made = register(client, key, name="renamed", capabilities=["render"])
    assert seen(hub)[:2] == ("renamed", ["render"])
    beat(client, made, current_load=0.25)
    assert seen(hub)[4] == 0.25


def test_a_provider_has_a_node_of_nobody_only_once_its_key_is_proven(market: Market, hub: Hub, key: SigningKey) -> None:
    with hub.database.unit_of_work() as session:
        owner = accounts.ensure_identity(session, "solana", market.wallet.address)
        secret = accounts.create_key(session, owner, "own", ["nodes:write"])
    made = register(market.client, key)
    enrolled = register(market.client, key, {"X-API-Key": secret}, provider_id=market.provider_id)

    def provider() -> tuple[str, bool]:
        with hub.database.read_only() as session:
            node = session.get_one(Node, made["node_id"])
            return str(node.provider_id), node.account_id == owner

    assert provider() == ("None", False)
    assert beat(market.client, enrolled, challenge_signature=sign(key, enrolled["challenge"])).status_code == 200
    assert provider() == (market.provider_id, True)
