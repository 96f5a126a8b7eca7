"""The SDK against a live hub, its database and its chain: every call of RoboCompute's document (seed.md), word for word, and what
becomes of one whose answer is lost."""

import ast
import asyncio
import hashlib
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.stack.postgres import Postgres
from app.stack.valkey import Valkey
from robocompute import AsyncRoboComputeClient, RoboComputeClient, RoboComputeProvider, exceptions
from tests.factories.databases import Databases
from tests.sdk import seed_snippets
from tests.sdk.market import Person, live_hub

SNIPPETS = seed_snippets.read()
RESULTS = b"what a container left in its results folder"
ORDER: dict[str, Any] = {
    "name": "n",
    "type": "cpu",
    "resource_requirements": {"cpu_cores": 1, "ram_gb": 1, "storage_gb": 1},
    "docker_image": "i",
    "command": ["true"],
    "timeout_seconds": 3600,
}


class Reader:
    """Somebody who types the document's snippets one after the other. `names` is what they know by now; what they print is in
    `printed`."""

    def __init__(self, **names: Any) -> None:
        self.printed: list[str] = []
        self.names = {**names, "print": self.printed.append}
        self.left = set(SNIPPETS)

    def type(self, heading: str, **placeholders: Any) -> Any:
        """Run a snippet. Placeholders, by their text in the document, are put in; nothing else is changed."""
        code = SNIPPETS[heading]
        for text, value in placeholders.items():
            assert code.count(text) == 1, f"{text} in {heading}"
            code = code.replace(text, str(value))
        self.left.discard(heading)
        exec(compile(code, heading, "exec"), self.names)
        return self.names


@pytest.fixture(scope="module")
def people(
    postgres: Postgres, databases: Databases, valkey: Valkey, solana_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Person, Person]]:
    """Who rents and who lends."""
    name = databases.take()
    parts = {"DATABASE_URL": postgres.database_url(name), "REDIS_URL": valkey.url, "SOLANA_RPC_URL": solana_url}
    with live_hub(tmp_path_factory.mktemp("hub"), **parts) as hub:
        yield Person(hub, "client"), Person(hub, "provider")
    databases.give_back(name)


def upload(provider: RoboComputeProvider, url: str, folder: Path) -> str:
    (folder / "results.tar.gz").write_bytes(RESULTS)
    return provider.tasks.upload_results(url, folder / "results.tar.gz")


def test_the_document_runs_as_it_is_written(people: tuple[Person, Person], tmp_path: Path) -> None:
    buyer, lender = people
    client, provider = buyer.client, lender.provider
    me = Reader(client=client, provider=provider, provider_id=provider.provider_id)

    me.type("Client API/Deposit Funds")
    buyer.pay(me.names["deposit"])
    balance = me.type("Client API/Get Balance")["balance"]
    assert balance.usdc_balance == balance["usdc_balance"] == "100.00" and balance.usdt_balance == "0.00"
    lender.pay(lender.client.wallet.deposit("2000.00"))

    resource = me.type("Provider API/Create Resource")["resource"]
    me.names["resource_id"] = resource.resource_id
    assert resource.status == "available"
    assert me.type("Provider API/Get Resource")["resource"].resource_id == resource.resource_id
    assert [item.resource_id for item in me.type("Provider API/List Resources")["resources"].resources] == [resource.resource_id]
    assert me.type("Provider API/Update Resource")["result"].pricing["per_hour"] == "10.00"

    assert me.type("Provider API/Stake Funds")["result"].staked_amount == "1000.00"
    assert me.type("Provider API/Unstake Funds")["result"].staked_amount == "500.00"
    status = me.type("Provider API/Get Staking Status")["status"]
    assert (status.staked_amount, status.currency) == ("500.00", "USDC") and "minimum_required" in status

    assert me.type("Client API/Search Providers")["providers"].providers == [], "none says that it is in us-east"
    assert me.type("Client API/Get Provider Details")["provider"].provider_id == provider.provider_id
    me.names["provider"] = provider  # the document's two parts each have their own

    task = me.type("Client API/Create Task")["task"]
    me.names["task_id"] = task.task_id
    assert task.status == "pending" and task.estimated_cost == "10.00" and client.wallet.get_balance().usdc_balance == "90.00"
    assert me.type("Client API/Get Task")["task"]["task_id"] == task.task_id
    assert me.type("Client API/Update Task")["result"].max_price_per_hour == "15.00"
    assert client.wallet.get_balance().usdc_balance == "85.00"

    follower = threading.Thread(target=lambda: me.type("Client API/Stream Task Updates"))
    follower.start()
    accepted = me.type("Provider API/Accept Task", resource_123=resource.resource_id)["result"]
    assert accepted.task_id == task.task_id and accepted.status == "accepted"
    started = me.type("Provider API/Start Task")["result"]
    assert started.status == "running" and started.upload_url
    assert me.type("Provider API/Update Progress")["result"].progress == 65
    assert [item.task_id for item in me.type("Client API/List Tasks")["tasks"].tasks] == [task.task_id]
    metrics = me.type("Client API/Get Task Metrics")["metrics"]
    assert (metrics.metrics.cpu_usage_percent, metrics["metrics"]["gpu_usage_percent"]) == (85.5, 92.3)
    assert me.type("Client API/Get Task Logs")["logs"].logs == []

    sha256 = upload(provider, started.upload_url, tmp_path)
    place = {"sha256_hash": sha256, "https://storage.robocompute.xyz/results/...": started.result_storage_url}
    completed = me.type("Provider API/Complete Task", **place)["result"]
    assert completed.status == "completed" and sha256 == hashlib.sha256(RESULTS).hexdigest()
    follower.join(60)
    assert not follower.is_alive() and me.printed[-1].startswith("Status: completed, Progress: 100")
    assert any(line.startswith("Status: running, Progress: 65") for line in me.printed)
    client.tasks.download_results(task.task_id, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == RESULTS

    me.names["task_id"] = me.type("Client API/Create Task")["task"].task_id
    provider.tasks.accept(me.names["task_id"])
    assert me.type("Provider API/Fail Task")["result"].status in ("pending", "failed")
    assert me.type("Client API/Cancel Task")["result"].status == "cancelled"

    earned = me.type("Provider API/Get Earnings Summary")["summary"]
    assert (earned.total_usdc, earned.total_tasks) == ("0.00", 0), "of a January before there was a hub"
    assert provider.earnings.get_summary().total_usdc == completed.earnings
    payout = me.type("Provider API/Request Payout", YourSolanaWalletAddress=lender.wallet.address)["payout"]
    assert (payout.amount, payout.currency, payout.wallet_address) == ("500.00", "USDC", lender.wallet.address)
    assert [item.payout_id for item in me.type("Provider API/Get Payout History")["history"].payouts] == [payout.payout_id]

    assert me.type("Client API/Get Billing History")["history"].transactions == []
    me.names["invoice_id"] = client.billing.issue_invoices().invoices[0].invoice_id
    assert me.type("Client API/Get Invoice")["invoice"].invoice_id == me.names["invoice_id"]
    assert client.billing.get_invoice_pdf(me.names["invoice_id"]).startswith(b"%PDF-")

    me.names["resource_id"] = resource.resource_id
    me.type("Provider API/Delete Resource")
    assert provider.resources.list().resources == []
    assert me.left == {"Error Handling"}


def test_a_signature_that_is_not_the_wallets_opens_nothing(people: tuple[Person, Person]) -> None:
    buyer, lender = people
    for options in ({"keypair": buyer.wallet.keypair}, {}):
        with RoboComputeClient(lender.key, base_url=lender.options["base_url"], **options) as client:
            with pytest.raises(exceptions.WalletSignatureError) as refused:
                client.wallet.get_balance()
            assert (refused.value.status, refused.value.code) == (401, "WALLET_SIGNATURE_INVALID")
            with pytest.raises(exceptions.AuthenticationError):
                next(iter(client.tasks.stream(str(uuid.uuid4()))))


class Forgetful(httpx.HTTPTransport):
    """Lets every request through, and loses the first answer to each POST."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = set[str]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        key = request.headers.get("Idempotency-Key")
        if key is not None and key not in self.lost:
            self.lost.add(key)
            response.read()
            response.close()
            raise httpx.ReadError("the connection is gone", request=request)
        return response


def test_what_was_done_and_not_heard_of_is_done_once(people: tuple[Person, Person]) -> None:
    lender = people[1]
    lender.pay(lender.client.wallet.deposit("10.00"))
    provider = lender.provider
    before = Decimal(provider.earnings.get_pending_payouts().available_usdc)
    staked = Decimal(provider.staking.get_status().staked_amount)
    with httpx.Client(transport=Forgetful()) as http:
        losing = RoboComputeProvider(lender.key, provider.provider_id, http=http, **lender.options)
        losing.transport.sleep = [].append
        payout = losing.payouts.request("2.00")
        assert Decimal(losing.staking.stake("3.00").staked_amount) == staked + 3
        deposit = RoboComputeClient(lender.key, http=http, **lender.options).wallet.deposit("1.00")
    assert Decimal(provider.earnings.get_pending_payouts().available_usdc) == before - 5
    assert [item.payout_id for item in provider.payouts.get_history().payouts].count(payout.payout_id) == 1
    assert [item.deposit_id for item in lender.client.wallet.list_deposits().deposits].count(deposit.deposit_id) == 1


def test_a_task_is_followed_while_it_runs(people: tuple[Person, Person], tmp_path: Path) -> None:
    """By the lines that it writes, and asynchronously by its updates."""
    buyer, lender = people
    client, provider = buyer.client, lender.provider
    task = client.tasks.create(**ORDER, max_price_per_hour="10.00")
    accepted = provider.tasks.accept(task.task_id)
    followed: list[str] = []
    has_begun = threading.Event()

    async def follow() -> list[str]:
        async with AsyncRoboComputeClient(buyer.key, **buyer.options) as watching:
            told = []
            async for update in watching.tasks.stream(task.task_id):
                has_begun.set()
                told.append(update.status)
            return told

    def read() -> None:
        followed.extend(line.message for line in client.tasks.get_logs(task.task_id, follow=True))

    with ThreadPoolExecutor(2) as pool:
        updates, lines = pool.submit(asyncio.run, follow()), pool.submit(read)
        assert has_begun.wait(60)
        provider.tasks.start(task.task_id)
        for number in range(3):
            line = {"level": "INFO", "message": f"line {number}"}
            provider.tasks.update_progress(task.task_id, progress=10 * number, logs=[line])
        sha256 = upload(provider, accepted.upload_url, tmp_path)
        provider.tasks.complete(task.task_id, sha256, accepted.result_storage_url, 1)
        assert updates.result(60)[-1] == "completed" and "running" in updates.result()
        lines.result(60)
    assert followed == ["line 0", "line 1", "line 2"]


def test_its_errors_are_caught_as_it_is_written(people: tuple[Person, Person]) -> None:
    buyer, _ = people
    client, nobody = buyer.client, str(uuid.uuid4())

    def ask_again_and_again() -> None:
        while True:
            client.wallet.get_balance()

    troubles = [
        lambda: client.tasks.create(**ORDER, max_price_per_hour="1000.00"),
        lambda: client.tasks.get(nobody),
        ask_again_and_again,
    ]

    class Orders:
        """`client.tasks` for the document's `create(...)`, whose three dots stand for something that goes wrong."""

        def create(self, what: object) -> Any:
            assert what is ...
            return troubles.pop(0)()

    me = Reader(client=type("", (), {"tasks": Orders()})())
    available = client.wallet.get_balance().usdc_balance
    for _ in range(3):
        me.type("Error Handling")
    poor, lost, hasty = me.printed
    said = ast.literal_eval(poor.removeprefix("Insufficient funds: "))
    assert (Decimal(said["required"]), Decimal(said["available"]), said["currency"]) == (1000, Decimal(available), "USDC")
    assert lost == f"Task {nobody} not found"
    assert 0 < int(hasty.removeprefix("Rate limit exceeded. Retry after ").removesuffix(" seconds")) <= 60
    assert client.rate_limit is not None and (client.rate_limit.limit, client.rate_limit.remaining) == (100, 0)
