"""A TON wallet signs in by ton_proof, and is the participant of its address: its own, or the one that an operator made."""

from flask.testing import FlaskClient

from app.values.ton_address import read
from app.wiring import Hub
from tests.api.cocoon.conftest import Person
from tests.api.cocoon.test_payouts import record
from tests.api.rnp019.conftest import Door, bearer
from tests.factories.ton_wallets import V4R2 as WALLET

PARTICIPANTS = "/api/v1/participants"


def test_a_wallet_signs_in_and_makes_itself_a_participant(client: FlaskClient) -> None:
    door = Door(client)
    head = bearer(door.enter(door.ton_body(WALLET))["access_token"])
    assert client.get(PARTICIPANTS, headers=head).status_code == 403
    made = client.post(PARTICIPANTS, json={"ton_wallet_address": WALLET.friendly}, headers=head)
    assert made.status_code == 201, made.json
    assert client.get(PARTICIPANTS, headers=head).json == [made.json]


def test_whom_an_operator_registered_finds_his_payouts(client: FlaskClient, hub: Hub, operator: Person) -> None:
    made = operator.post("participants", json={"ton_wallet_address": WALLET.friendly})
    person = Person(client, hub, read(WALLET.address))
    person.id = made.json["id"]
    payout = record(operator, person)
    assert payout.status_code == 201, payout.json
    door = Door(client)
    head = bearer(door.enter(door.ton_body(WALLET))["access_token"])
    assert client.get("/api/v1/payouts", headers=head).json == [payout.json]
    assert client.get(f"{PARTICIPANTS}/wallet/{WALLET.address}", headers=head).json["total_payouts"] == 1
