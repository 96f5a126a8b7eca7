"""Each of the dialect's routes lets in operators and participants that have its scope, and nobody else."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from app.models.accounts import SCOPES
from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join
from tests.api.test_routes import ACCESS, concrete

ROUTES = [(method, rule, access.split()[1]) for (method, rule), access in ACCESS.items() if access.startswith("reach ")]
# A body that each of these routes takes, so that who is let in is what decides.
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/participants": {"ton_wallet_address": "0:" + "1" * 64},
    "/api/v1/payouts": {
        "participant_id": 1,
        "transaction_hash": "a" * 64,
        "amount_ton": 1,
        "from_address": "0:" + "1" * 64,
        "to_address": "0:" + "2" * 64,
        "transaction_time": "2025-01-15T10:30:00Z",
    },
    "/api/v1/payouts/proposals/<proposal_id>/reject": {"reason": "x"},
    "/api/v1/workers": {"participant_id": 1, "worker_name": "w"},
}


@pytest.mark.parametrize(("method", "rule", "scope"), ROUTES)
def test_a_scope_and_a_participant_or_an_operator(client: FlaskClient, hub: Hub, stranger: Person, method: str, rule: str,
                                                  scope: str) -> None:
    address = join(client, hub).address
    others = tuple(other for other in SCOPES if other != scope)
    path, body = concrete(rule), BODIES.get(rule, {})
    assert client.open(path, method=method, json=body).status_code == 401
    for key in ("x", "ly_x", "a.b.c"):
        answer = client.open(path, method=method, json=body, headers={"X-API-Key": key})
        assert answer.status_code == 401 and set(answer.json) == {"detail"}
    for person in (Person(client, hub, address, others), Person(client, hub, None, others), stranger):
        answer = person.call(method, path.removeprefix("/api/v1/"), json=body)
        assert answer.status_code == 403 and set(answer.json) == {"detail"}
    allowed = Person(client, hub, None, (scope,)).call(method, path.removeprefix("/api/v1/"), json=body)
    assert allowed.status_code not in (401, 403), allowed.json
