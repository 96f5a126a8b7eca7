"""Who is told the broker's address: who speaks for the provider or the operator, by a credential or by the node's own key."""

import base64
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from app.core import accounts
from tests.api.conftest import Market
from tests.api.test_node_enrolment import provider_key, register


class Told:
    """Stands for RabbitMQ: what it is told, anybody can read off the address."""

    def grant(self, user: str, password: str, readable: str, queues: Iterable[str]) -> None:
        return

    def disconnect(self, user: str) -> None:
        return

    def url(self, user: str, password: str) -> str:
        return f"amqps://{user}:{password}@broker"


@pytest.fixture(autouse=True)
def broker(market: Market) -> None:
    market.client.application.extensions["lightyard"] = replace(market.hub, node_broker=Told())


@pytest.fixture
def operator(market: Market) -> str:
    with market.hub.database.unit_of_work() as session:
        return accounts.ensure_operator(session)


def user_of(answer: Any) -> str | None:
    assert answer.status_code in (200, 201), answer.json
    told = answer.json["broker"]
    return None if told is None else str(told["url"]).split("//")[1].split(":")[0]


def prove(market: Market, key: SigningKey, registration: Any, **more: Any) -> Any:
    signature = base64.b64encode(key.sign(registration.json["challenge"].encode()).signature).decode()
    headers = {"Authorization": f"Bearer {registration.json['token']}"}
    return market.client.post("/node/v1/proof", json={"signature": signature, **more}, headers=headers)


def test_a_providers_key_is_told_its_user(market: Market) -> None:
    assert user_of(register(market, SigningKey.generate(), provider_key(market))) == f"node.{market.provider_id}"


def test_the_operators_key_is_told_the_shared_queues_user(market: Market, operator: str) -> None:
    assert user_of(register(market, SigningKey.generate(), operator, provider_id=market.provider_id)) == "nodes.trusted"


def test_a_public_key_tells_nothing_until_it_is_proven(market: Market) -> None:
    key = SigningKey.generate()
    register(market, key, provider_key(market))
    again = register(market, key)
    assert again.json["queues"] == {"render": f"render.{market.provider_id}"} and user_of(again) is None
    assert "broker" not in prove(market, SigningKey.generate(), again, wants_broker=True).json
    assert user_of(prove(market, key, again, wants_broker=True)) == f"node.{market.provider_id}"
    assert "broker" not in prove(market, key, again).json, "who has the address already does not ask"


def test_a_node_of_nobody_is_told_nothing(market: Market) -> None:
    key = SigningKey.generate()
    registration = register(market, key)
    assert user_of(registration) is None and registration.json["broker_retry_seconds"] is None
    assert user_of(prove(market, key, registration, wants_broker=True)) is None


def test_a_providers_key_opens_no_shared_queue(market: Market, operator: str) -> None:
    """The node is the operator's, and its public key no secret; the node itself is told, once it has proven it."""
    key = SigningKey.generate()
    register(market, key, operator, provider_id=market.provider_id)
    taken = register(market, key, provider_key(market))
    assert user_of(taken) is None
    assert user_of(prove(market, key, taken, wants_broker=True)) == "nodes.trusted"


def test_rendertrusts_registration_is_told_where_it_enrols(market: Market) -> None:
    public_key = base64.b64encode(bytes(SigningKey.generate().verify_key)).decode()
    body = {"name": "edge", "public_key": public_key, "capabilities": ["render", "made-up"], "provider_id": market.provider_id}
    headers = {"Authorization": f"Bearer {provider_key(market)}"}
    enrolled = market.client.post("/api/v1/nodes/register", json=body, headers=headers)
    assert user_of(enrolled) == f"node.{market.provider_id}"
    assert enrolled.json["queues"] == {"render": f"render.{market.provider_id}"}
    unknown = market.client.post("/api/v1/nodes/register", json=body | {"provider_id": None, "public_key": public_key})
    assert user_of(unknown) is None
