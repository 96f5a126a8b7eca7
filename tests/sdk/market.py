"""A live hub, with people on it who have a wallet on its chain, money, and a key that the wallet must sign for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import httpx

from devnet.payer import Payer
from robocompute import RoboComputeClient, RoboComputeProvider
from tests.factories.stacks import RunningStack, fresh_home, lightyard

PRICING = {"pricePerFrame": 0.001, "pricePerSecond": 0.0001, "pricePerGb": 0.01, "minimumPrice": 0.005, "currency": "SOL"}
SPEC = {"supportedFormats": [".blend"], "renderEngines": ["cycles"], "maxFileSize": 2000}


class Person:
    """A wallet on the local chain, and an `rc_` key of its account."""

    def __init__(self, stack: RunningStack, role: str) -> None:
        self.stack, self.wallet = stack, Payer(stack.endpoints["solana_rpc_url"])
        made = lightyard("keys", "create", role, "--wallet", self.wallet.address, "--robocompute", "--json", home=stack.home)
        assert made.returncode == 0, made.stderr
        self.key: str = json.loads(made.stdout)["key"]
        self.options = {"keypair": self.wallet.keypair, "base_url": f"{stack.endpoints['api_url']}/api/v1"}
        self.client = RoboComputeClient(self.key, **self.options)

    def pay(self, deposit: dict) -> None:
        """Send what a deposit asks for, as any wallet does; returns once it is credited."""
        self.wallet.airdrop(10**9)
        mint = self.wallet.mint(Decimal(deposit["amount"]), deposit["asset"])
        minor = int(Decimal(deposit["amount"]).scaleb(6))
        signature = self.wallet.pay_token(deposit["pay_to"], minor, mint, 6, deposit["memo"])
        self.wallet.wait_final(signature)
        assert self.client.wallet.pay_deposit(deposit["deposit_id"], signature).received == deposit["amount"]

    def become_provider(self) -> RoboComputeProvider:
        """As Rayment has it: whoever signs for a wallet registers a provider with it."""
        with httpx.Client(base_url=self.stack.endpoints["api_url"], timeout=30) as http:
            body = {"name": "farm", "wallet": self.wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC}
            signature = self.wallet.sign(f"register:{self.wallet.address}:farm")
            answer = http.post("/provider/register", json={**body, "pricing": PRICING, "signature": signature})
            assert answer.status_code == 200, answer.text
            provider_id = answer.json()["data"]["providerId"]
            signature = self.wallet.sign(f"status:{provider_id}:online")
            body = {"providerId": provider_id, "status": "online", "signature": signature}
            assert http.put("/provider/status", json=body).status_code == 200
        return RoboComputeProvider(self.key, provider_id, **self.options)


@contextmanager
def live_hub(**settings: str) -> Iterator[RunningStack]:
    with fresh_home() as home:
        stack = RunningStack(home, **settings).wait_ready()
        try:
            yield stack
        finally:
            assert stack.end() == 0
