"""An agent with a wallet on the local chain and a key of this hub, and the hub that it pays."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.config import Settings
from app.core import accounts
from app.models.accounts import SCOPES
from app.stack.stack import SOLANA_DEVNET
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.rnp019.conftest import bearer
from tests.factories.payouts import LOCAL_MINTS
from tests.factories.render_market import Renders
from tests.factories.task_market import Hours, moving_clock


@pytest.fixture(scope="session")
def hub_wallet() -> str:
    return str(Keypair().pubkey())


@pytest.fixture
def settings(settings: Settings, hub_wallet: str) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items())
    nothing = {"x402_payee_percent": 0, "x402_payees_percent": 0}  # for others than the hub
    return replace(settings, solana_wallet=hub_wallet, solana_mints=mints, x402_network=SOLANA_DEVNET, **nothing)


@pytest.fixture
def hours() -> Iterator[Hours]:
    with moving_clock() as found:
        yield found


class Agent(Renders):
    """A market whose owner calls the API with a key and pays from a wallet on the chain."""

    def __init__(self, client: FlaskClient, hub: Hub, payer: Payer, asset: str = "USDC", balance: str = "0") -> None:
        super().__init__(hub.database, balance, asset)
        self.client, self.hub, self.payer = client, hub, payer
        self.key = self.new_key(tuple(scope for scope in SCOPES if not scope.startswith("admin:")))

    def new_key(self, scopes: tuple[str, ...], account_id: uuid.UUID | None = None) -> str:
        with self.database.unit_of_work() as session:
            return accounts.create_key(session, account_id or self.account_id, "test", list(scopes))

    def get(self, path: str) -> Any:
        return self.client.get(f"/rnp/v1/{path}", headers=bearer(self.key))

    def post(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> Any:
        head = {**bearer(key or self.key), **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.post(f"/rnp/v1/{path}", json=body, headers=head)

    def send(self, payment: dict[str, Any], minor: int | None = None) -> str:
        """Pay as the payment says, by memo; final when this returns."""
        decimals = {"SOL": 9, "RENDER": 8}.get(payment["asset"], 6)
        asked = round(float(payment["amount"]) * 10**decimals) if minor is None else minor
        if payment["mint"] is None:
            signature = self.payer.pay(payment["pay_to"], asked, payment["memo"])
        else:
            signature = self.payer.pay_token(payment["pay_to"], asked, payment["mint"], decimals, payment["memo"])
        self.payer.wait_final(signature)
        return signature

    def tops_up(self, asset: str, amount: str) -> dict[str, Any]:
        asked = self.post("credits/topups", {"asset": asset, "amount": amount})
        assert asked.status_code == 201, asked.json
        paid = self.post(f"credits/topups/{asked.json['id']}/pay", {"tx_signature": self.send(asked.json)})
        assert paid.status_code == 200, paid.json
        return dict(paid.json)


@pytest.fixture
def agent(client: FlaskClient, hub: Hub, payer: Payer) -> Agent:
    for asset in LOCAL_MINTS:
        payer.mint("100", asset)
    return Agent(client, hub, payer)
