"""An operator, participants and strangers, calling Cocoon's API."""

import secrets
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.core import accounts
from app.models.accounts import SCOPES
from app.values.ton_address import TonAddress
from app.wiring import Hub

USERS_SCOPES = tuple(scope for scope in SCOPES if not scope.startswith("admin:"))


def wallet() -> TonAddress:
    """A wallet of its own."""
    return TonAddress(0, secrets.token_bytes(32))


class Person:
    """Somebody with an API key; without a wallet, the operator."""

    def __init__(self, client: FlaskClient, hub: Hub, address: TonAddress | None = None, scopes: tuple[str, ...] = ()) -> None:
        self.client, self.address = client, address
        with hub.database.unit_of_work() as session:
            if address is None:
                self.account_id = accounts.operator_account(session)
            else:
                self.account_id = accounts.ensure_identity(session, "ton", address.raw)
            self.key = accounts.create_key(session, self.account_id, "test", list(scopes or SCOPES))
        self.id: int = 0

    def call(self, method: str, path: str, key: str | None = None, **options: Any) -> Any:
        head = {"Authorization": f"Bearer {self.key}"} | ({"Idempotency-Key": key} if key else {})
        return self.client.open(f"/api/v1/{path}", method=method, headers=head, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def patch(self, path: str, **body: Any) -> Any:
        return self.call("PATCH", path, json=body)


@pytest.fixture
def operator(client: FlaskClient, hub: Hub) -> Person:
    return Person(client, hub)


@pytest.fixture
def stranger(client: FlaskClient, hub: Hub) -> Person:
    """Signed in with a wallet that is no participant."""
    return Person(client, hub, wallet())


def join(client: FlaskClient, hub: Hub, **body: Any) -> Person:
    """Somebody who made a participant of his own wallet."""
    person = Person(client, hub, wallet())
    assert person.address is not None
    made = person.post("participants", json={"ton_wallet_address": person.address.friendly(), **body})
    assert made.status_code == 201, made.json
    person.id = made.json["id"]
    return person


@pytest.fixture
def participant(client: FlaskClient, hub: Hub) -> Person:
    return join(client, hub, username=f"user-{uuid.uuid4().hex[:6]}")
