"""A live hub, with people on it who have a wallet on its chain, money, and a key that the wallet must sign for."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import httpx
from solders.keypair import Keypair

from devnet.payer import Payer
from robocompute import RoboComputeClient, RoboComputeProvider
from tests.factories.payouts import LOCAL_MINTS
from tests.factories.stacks import FRESH, lightyard
from tests.relay.conftest import running_api

PRICING = {"pricePerFrame": 0.001, "pricePerSecond": 0.0001, "pricePerGb": 0.01, "minimumPrice": 0.005, "currency": "SOL"}
SPEC = {"supportedFormats": [".blend"], "renderEngines": ["cycles"], "maxFileSize": 2000}


class LiveHub:
    """gunicorn with the hub's API, over HTTP and websockets, on real PostgreSQL, Valkey and chain. `environment` is its own, and
    that of commands beside it."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self.url, self.environment = url, dict(environment)

    def key(self, role: str, wallet: str) -> str:
        """As its operator gives them out."""
        settings = {name: value for name, value in self.environment.items() if name != "LIGHTYARD_HOME"}
        home = Path(self.environment["LIGHTYARD_HOME"])
        made = lightyard("keys", "create", role, "--wallet", wallet, "--robocompute", "--json", home=home, **settings)
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["key"])


@contextmanager
def live_hub(folder: Path, **settings: str) -> Iterator[LiveHub]:
    environment = {
        "STORAGE_URL": f"file://{folder}/files",
        "LIGHTYARD_HOME": str(folder),
        "ALLOW_PRIVATE_ENDPOINTS": "on",
        "RATE_LIMITS": "on",
        "SOLANA_WALLET": str(Keypair().pubkey()),
        "SOLANA_MINTS": ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items()),
        "PAYOUT_COOL_OFF_HOURS": "0",
        "UNSTAKE_DELAY_HOURS": "0",
        **settings,
    }
    with running_api(environment, folder / "api.log") as api:
        yield LiveHub(api.url, environment)


class Person:
    """A wallet on the local chain, and an `rc_` key of its account."""

    def __init__(self, hub: LiveHub, role: str) -> None:
        self.hub, self.wallet = hub, Payer(hub.environment["SOLANA_RPC_URL"])
        self.key = hub.key(role, self.wallet.address)
        self.options = {"keypair": self.wallet.keypair, "base_url": f"{hub.url}/api/v1"}
        self.client = RoboComputeClient(self.key, **self.options)

    def pay(self, deposit: dict) -> None:
        """Send what a deposit asks for, as any wallet does; returns once it is credited."""
        self.wallet.airdrop(10**9)
        mint = self.wallet.mint(Decimal(deposit["amount"]), deposit["asset"])
        minor = int(Decimal(deposit["amount"]).scaleb(6))
        signature = self.wallet.pay_token(deposit["pay_to"], minor, mint, 6, deposit["memo"])
        self.wallet.wait_final(signature)
        assert self.client.wallet.pay_deposit(deposit["deposit_id"], signature).received == deposit["amount"]

    @cached_property
    def provider(self) -> RoboComputeProvider:
        """As Rayment has it: whoever signs for a wallet registers a provider with it."""
        with httpx.Client(limits=FRESH, base_url=self.hub.url, timeout=30) as http:
            body = {"name": "farm", "wallet": self.wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC}
            signature = self.wallet.sign(f"register:{self.wallet.address}:farm")
            answer = http.post("/provider/register", json={**body, "pricing": PRICING, "signature": signature})
            assert answer.status_code == 200, answer.text
            provider_id = answer.json()["data"]["providerId"]
            signature = self.wallet.sign(f"status:{provider_id}:online")
            body = {"providerId": provider_id, "status": "online", "signature": signature}
            assert http.put("/provider/status", json=body).status_code == 200
        return RoboComputeProvider(self.key, provider_id, **self.options)
