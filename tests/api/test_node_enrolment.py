"""Whose a node is: what the key that it registers with says, and what nobody else can change."""

import base64
from typing import Any

import pytest
from nacl.signing import SigningKey

from app.cli.keys import USUAL_SCOPES
from app.core import accounts
from tests.api.conftest import PRICING, SPEC, Market


def provider_key(market: Market) -> str:
    """A key as `lightyard keys create provider --wallet …` makes it."""
    with market.hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "solana", market.wallet.address)
        return accounts.create_key(session, account_id, "farm", list(USUAL_SCOPES["provider"]))


def register(market: Market, node_key: SigningKey, api_key: str | None = None, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    public_key = base64.b64encode(bytes(node_key.verify_key)).decode()
    body = {"name": "host", "public_key": public_key, "capabilities": ["render"], **more}
    return market.client.post("/node/v1/nodes", json=body, headers=headers)


def second_provider(market: Market) -> None:
    signature = market.wallet.sign(f"register:{market.wallet.address}:second")
    body = {"name": "second", "wallet": market.wallet.address, "endpoint": "http://127.0.0.1:4403", "spec": SPEC}
    answer = market.client.post("/provider/register", json={**body, "pricing": PRICING, "signature": signature})
    assert answer.status_code == 200, answer.json


def test_a_providers_key_alone_enrols_with_its_provider(market: Market) -> None:
    answer = register(market, SigningKey.generate(), provider_key(market))
    assert answer.status_code == 201, answer.json
    assert answer.json["queues"] == {"render": f"render.{market.provider_id}"}


def test_one_of_several_providers_is_to_be_named(market: Market) -> None:
    key = provider_key(market)
    second_provider(market)
    answer = register(market, SigningKey.generate(), key)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "PROVIDER_AMBIGUOUS")
    assert market.provider_id in answer.json["error"]["message"] and "second" in answer.json["error"]["message"]
    named = register(market, SigningKey.generate(), key, provider_id=market.provider_id)
    assert named.json["queues"] == {"render": f"render.{market.provider_id}"}


def test_a_key_without_a_provider_is_told_what_to_do(market: Market, solana_url: str) -> None:
    with market.hub.database.unit_of_work() as session:
        account_id = accounts.ensure_identity(session, "node_key", "somebody")
        key = accounts.create_key(session, account_id, "nobody", list(USUAL_SCOPES["provider"]))
    answer = register(market, SigningKey.generate(), key)
    assert answer.status_code == 400 and "/provider/register" in answer.json["error"]["message"]


@pytest.mark.parametrize("first", ["provider", "operator"])
def test_knowing_a_nodes_public_key_does_not_take_it_over(market: Market, solana_url: str, first: str) -> None:
    """A public key is no secret, and whoever registers has proven nothing yet."""
    with market.hub.database.unit_of_work() as session:
        operator = accounts.ensure_operator(session)
    node = SigningKey.generate()
    owner = operator if first == "operator" else provider_key(market)
    assert register(market, node, owner, provider_id=market.provider_id).status_code == 201
    rival = Market(market.client, market.hub, solana_url)
    answer = register(market, node, provider_key(rival), name="stolen")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "NODE_TAKEN")
    again = register(market, node, provider_key(market))
    assert again.status_code == 201, "its own provider's key finds it again"
    moved = register(market, node, operator, provider_id=rival.provider_id)
    assert moved.status_code == 201, "the operator may move it"
