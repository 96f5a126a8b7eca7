"""A user of RenderTrust's API."""

import itertools
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.core import credits
from app.values.money import parse
from app.values.purposes import Purpose
from app.wiring import Hub

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


class User:
    """One registered account, and its calls."""

    def __init__(self, client: FlaskClient, email: str | None = None) -> None:
        self.client, self.email = client, email or f"user{next(_numbers)}-{uuid.uuid4().hex[:8]}@example.com"
        body = {"email": self.email, "name": "Jane Smith", "password": PASSWORD}
        answer = client.post("/api/v1/auth/register", json=body)
        assert answer.status_code == 201, answer.json
        self.id = uuid.UUID(answer.json["user"]["id"])
        self.tokens: dict[str, str] = answer.json["tokens"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=self.headers, **options)

    def post(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        return self.client.post(f"/api/v1/{path}", headers={**self.headers, **(headers or {})}, **options)

    def refresh(self, token: str | None = None) -> Any:
        return self.client.post("/api/v1/auth/refresh", json={"refresh_token": token or self.tokens["refresh_token"]})

    def fund(self, hub: Hub, amount: str) -> None:
        with hub.database.unit_of_work() as session:
            credits.grant(session, self.id, parse(amount, "CREDIT"), f"test:{uuid.uuid4()}", Purpose.ADJUSTMENT, "test")


@pytest.fixture
def user(client: FlaskClient) -> User:
    return User(client)
