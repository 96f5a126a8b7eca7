"""Cocoon's OpenAPI file is true of what the hub answers."""

from typing import Any

from flask.testing import FlaskClient

from app.wiring import Hub
from tests.api.cocoon.conftest import Person, wallet
from tests.api.cocoon.test_payouts import body_for
from tests.api.cocoon.test_proposals import proposal as proposal  # noqa: PLC0414  a fixture
from tests.api.test_openapi import Checked, operations


def signed(person: Person) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {person.key}"}}


def test_participants(client: FlaskClient, operator: Person, participant: Person, stranger: Person) -> None:
    api, path = Checked(client, "cocoon"), "/api/v1/participants"
    for person in (operator, participant, stranger):
        for query in ("", "?limit=1&is_active=true&is_operator=false", "?limit=0"):
            api.call("GET", f"{path}{query}", path, **signed(person))
        for found in (participant.id, 999, "x"):
            api.call("GET", f"{path}/{found}", f"{path}/{{participant_id}}", **signed(person))
            body = {"username": "new"}
            api.call("PATCH", f"{path}/{found}", f"{path}/{{participant_id}}", json=body, **signed(person))
        for address in (participant.address, wallet(), "x"):
            api.call("GET", f"{path}/wallet/{address}", f"{path}/wallet/{{wallet_address}}", **signed(person))
    api.call("GET", path, path)
    new = {"ton_wallet_address": wallet().raw}
    for body in (new, new, {}):
        api.call("POST", path, path, json=body, **signed(operator))
    api.call("POST", path, path, json={"ton_wallet_address": wallet().raw}, **signed(participant))


def test_payouts(client: FlaskClient, operator: Person, participant: Person, proposal: dict[str, Any]) -> None:
    api, path = Checked(client, "cocoon"), "/api/v1/payouts"
    body = body_for(participant)
    for sent in (body, body, {}, body_for(participant, participant_id=999), body_for(participant, amount_usd=...)):
        api.call("POST", path, path, json=sent, **signed(operator))
    api.call("POST", path, path, json=body, **signed(participant))
    for person in (operator, participant):
        for query in ("", "?confirmed=false&limit=1&offset=1", "?limit=0", "?participant_id=999"):
            api.call("GET", f"{path}{query}", path, **signed(person))
            api.call("GET", f"{path}/proposals{query.replace('confirmed=false', 'state=proposed')}", f"{path}/proposals",
                     **signed(person))
        for found in (1, 999, "x"):
            api.call("GET", f"{path}/{found}", f"{path}/{{payout_id}}", **signed(person))
            template = f"{path}/participant/{{participant_id}}/summary"
            api.call("GET", f"{path}/participant/{found}/summary", template, **signed(person))
            template = f"{path}/proposals/{{proposal_id}}/approve"
            api.call("POST", f"{path}/proposals/{found}/approve", template, **signed(person))
    for person, query in ((operator, "?year=1"), (participant, "?participant_id=999")):
        api.call("GET", f"{path}/export/tax-report{query}", f"{path}/export/tax-report", **signed(person))
    for person, query in ((operator, "?chain=x"), (participant, "")):
        api.call("GET", f"{path}/export{query}", f"{path}/export", **signed(person))


def test_everybody_must_sign_in(client: FlaskClient, hub: Hub) -> None:
    spec = client.get("/openapi/cocoon.json").json
    assert set(spec["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    assert [path for _, path, operation in operations(spec) if "security" not in operation] == []
    for path in ("export", "export/tax-report"):
        content = spec["paths"][f"/api/v1/payouts/{path}"]["get"]["responses"]["200"]["content"]
        assert content == {"text/csv": {"schema": {"type": "string"}}}
