"""Clients and providers, calling RoboCompute's API as its SDK does: with a key, and the wallet's signature."""

import secrets
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.core import accounts, ledger
from app.core.ledger import Party
from app.models.accounts import SCOPES
from app.models.nodes import Provider
from app.values.money import parse
from app.wiring import Hub
from tests.factories.wallet_requests import version_1

USERS_SCOPES = tuple(scope for scope in SCOPES if not scope.startswith("admin:"))


class Person:
    """Somebody with a Solana wallet and an API key of its account."""

    def __init__(self, client: FlaskClient, hub: Hub, prefix: str = "rc_live_", scopes: tuple[str, ...] = USERS_SCOPES) -> None:
        self.client, self.hub, self.keypair = client, hub, Keypair()
        with hub.database.unit_of_work() as session:
            self.account_id = accounts.ensure_identity(session, "solana", self.wallet)
            self.key = accounts.create_key(session, self.account_id, "test", list(scopes), prefix)
        self.provider_id: uuid.UUID | None = None

    @property
    def wallet(self) -> str:
        return str(self.keypair.pubkey())

    def call(self, method: str, path: str, key: str | None = None, **options: Any) -> Any:
        """`path` below /api/v1; `key` is an Idempotency-Key."""
        head = version_1(self.keypair, self.key, method, f"/api/v1/{path}") | ({"Idempotency-Key": key} if key else {})
        return self.client.open(f"/api/v1/{path}", method=method, headers=head, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def patch(self, path: str, **body: Any) -> Any:
        return self.call("PATCH", path, json=body)

    def delete(self, path: str, **options: Any) -> Any:
        return self.call("DELETE", path, **options)

    def fund(self, amount: str, asset: str = "USDC") -> None:
        """As if a deposit had arrived on the chain."""
        with self.hub.database.unit_of_work() as session:
            reference = f"test:{secrets.token_hex(8)}"
            ledger.post(session, Party("chain"), Party("balance", self.account_id), parse(amount, asset), reference)

    def own(self, path: str) -> str:
        """A path of one's own provider."""
        return f"providers/{self.provider_id}/{path}"


def become_provider(person: Person) -> Person:
    """A provider registered with the person's wallet."""
    with person.hub.database.unit_of_work() as session:
        provider = Provider(
            account_id=person.account_id,
            name=f"provider-{secrets.token_hex(3)}",
            wallet=person.wallet,
            price_per_frame=0,
            price_per_second=0,
            price_per_gb=0,
            minimum_price=0,
            status="online",
        )
        session.add(provider)
        session.flush()
        person.provider_id = provider.id
    return person


@pytest.fixture
def buyer(client: FlaskClient, hub: Hub) -> Person:
    """A client with 1000 USDC."""
    person = Person(client, hub)
    person.fund("1000")
    return person


@pytest.fixture
def provider(client: FlaskClient, hub: Hub) -> Person:
    return become_provider(Person(client, hub))


@pytest.fixture
def stranger(client: FlaskClient, hub: Hub) -> Person:
    """Signed in, with nothing to do with it."""
    return Person(client, hub)
