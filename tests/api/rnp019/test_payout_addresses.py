"""Where earnings go: to a wallet that has signed for the account, and to no other."""

import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.core import ledger, payouts
from app.core.ledger import Party
from app.core.payout_addresses import ADDRESSES_LIMIT
from app.values.money import parse
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import WALLET, Door, bearer, refused
from tests.factories.ton_wallets import V4R2

ADDRESSES = f"{WALLET}/payout-addresses"


@pytest.fixture
def wallet() -> Keypair:
    return Keypair()


@pytest.fixture
def entered(door: Door, wallet: Keypair) -> dict[str, Any]:
    return door.enter(door.solana_body(wallet))


def choose(client: FlaskClient, token: str, address: str, chain: str = "solana", **more: Any) -> Any:
    return client.post(ADDRESSES, json={"chain": chain, "address": address, **more}, headers=bearer(token))


def test_the_wallet_one_signed_in_with_is_paid_at_once(
    client: FlaskClient, hub: Hub, entered: dict[str, Any], wallet: Keypair
) -> None:
    token, account_id = entered["access_token"], uuid.UUID(entered["account"]["id"])
    made = choose(client, token, str(wallet.pubkey()))
    assert made.status_code == 201 and made.json["automatic"] is True and made.json["usable_at"] == made.json["created_at"]
    assert client.get(ADDRESSES, headers=bearer(token)).json == {"payout_addresses": [made.json], "count": 1}
    with hub.database.unit_of_work() as session:
        ledger.post(session, Party("chain"), Party("balance", account_id), parse("5", "USDC"), "test:earned")
        assert payouts.due(session, "USDC", parse("0.01", "USDC")) == [account_id]
        payout = payouts.open_due(session, account_id, "USDC", hub.payout_rules)
        assert payout is not None and payout.destination == str(wallet.pubkey())


def test_a_wallet_that_was_linked_later_has_a_cool_off(client: FlaskClient, door: Door, entered: dict[str, Any]) -> None:
    token = entered["access_token"]
    assert door.link(token, door.ton_body(V4R2)).status_code == 200
    made = choose(client, token, V4R2.friendly, "ton", automatic=False)
    assert made.status_code == 201 and made.json["address"] == V4R2.address and made.json["automatic"] is False
    assert made.json["usable_at"] > made.json["created_at"]


def test_a_wallet_that_never_signed_for_the_account_is_refused(client: FlaskClient, door: Door, entered: dict[str, Any]) -> None:
    stranger = Keypair()
    door.enter(door.solana_body(stranger))
    for address in (str(stranger.pubkey()), str(Keypair().pubkey())):
        refused(choose(client, entered["access_token"], address), 400, "PAYOUT_ADDRESS_UNPROVEN")


@pytest.mark.parametrize(
    "body", [{}, {"chain": "ton"}, {"chain": "btc", "address": "x"}, {"chain": "ton", "address": "0:abcd"},
             {"chain": "solana", "address": "x" * 81}, {"chain": "solana", "address": 7},
             {"chain": "solana", "address": "x", "automatic": "perhaps"}],
)
def test_nonsense_is_refused(client: FlaskClient, entered: dict[str, Any], body: dict[str, Any]) -> None:
    answer = client.post(ADDRESSES, json=body, headers=bearer(entered["access_token"]))
    assert answer.status_code == 400 and set(answer.json) == {"error"}


def test_an_address_can_be_taken_back_by_its_owner_only(
    client: FlaskClient, door: Door, entered: dict[str, Any], wallet: Keypair
) -> None:
    token = entered["access_token"]
    made = choose(client, token, str(wallet.pubkey())).json
    stranger = door.enter(door.solana_body(Keypair()))["access_token"]
    refused(client.delete(f"{ADDRESSES}/{made['id']}", headers=bearer(stranger)), 404, "NOT_FOUND")
    assert client.delete(f"{ADDRESSES}/{made['id']}", headers=bearer(token)).status_code == 204
    refused(client.delete(f"{ADDRESSES}/{made['id']}", headers=bearer(token)), 404, "NOT_FOUND")
    refused(client.delete(f"{ADDRESSES}/{UNKNOWN}", headers=bearer(token)), 404, "NOT_FOUND")
    refused(client.delete(f"{ADDRESSES}/seven", headers=bearer(token)), 400, "INVALID_INPUT")
    assert client.get(ADDRESSES, headers=bearer(token)).json["count"] == 0


def test_nobody_fills_the_table(client: FlaskClient, entered: dict[str, Any], wallet: Keypair) -> None:
    answers = [choose(client, entered["access_token"], str(wallet.pubkey())) for _ in range(ADDRESSES_LIMIT + 1)]
    assert [answer.status_code for answer in answers[:-1]] == [201] * ADDRESSES_LIMIT
    refused(answers[-1], 409, "PAYOUT_ADDRESSES_LIMIT")
