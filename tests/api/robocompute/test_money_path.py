"""What a client pays, whole: a real deposit, tasks that end each in its way, the history, the usage, the invoice. One sum."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair

from app.config import Settings
from app.core import audit, ledger
from app.core.ledger import Party
from app.values.money import parse
from devnet.payer import Payer
from tests.api.robocompute.conftest import Person
from tests.api.robocompute.test_tasks import SHA256, accept, act, order, upload
from tests.factories.payouts import LOCAL_MINTS


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items())
    return replace(settings, solana_wallet=str(Keypair().pubkey()), solana_mints=mints)


def test_from_the_deposit_to_the_invoice_nothing_is_lost_and_nothing_made(
    stranger: Person, provider: Person, payer: Payer
) -> None:
    client = stranger
    payer.mint("50", "USDC")
    deposit = client.post("wallet/deposit", json={"amount": "30.00"}).json
    signature = payer.pay_token(deposit["pay_to"], 31_000_000, deposit["mint"], 6, deposit["memo"])
    payer.wait_final(signature)
    paid = client.post(f"wallet/deposits/{deposit['id']}/pay", json={"tx_signature": signature})
    assert paid.json["status"] == "confirmed" and client.get("wallet/balance").json["usdc_balance"] == "31.00"
    done, stopped, untouched, running = (order(client, max_price_per_hour="7.20") for _ in range(4))
    for task_id in (done, stopped, running):
        assert accept(provider, task_id).status_code == 200
        started = act(provider, task_id, "start")
        if task_id == done:
            upload(provider.client, started)
            body = {"result_hash": SHA256, "result_storage_url": started.json["result_storage_url"]}
            assert act(provider, task_id, "complete", **body, execution_time_seconds=3600).status_code == 200
    for task_id in (stopped, untouched):
        assert client.delete(f"tasks/{task_id}").status_code == 200
    usage = {item["task_id"]: item for item in client.get("billing/usage").json["usage"]}
    assert usage.keys() == {done, stopped, running}
    assert usage[done]["status"] == "charged" and usage[done]["seconds"] >= 1 and usage[running]["status"] == "running"
    for task_id in (done, stopped):  # 7.20 an hour is 0.002 a second
        assert parse(usage[task_id]["amount"], "USDC").minor == 2000 * usage[task_id]["seconds"]
    charged = parse(usage[done]["amount"], "USDC") + parse(usage[stopped]["amount"], "USDC")
    (invoice,) = client.post("billing/invoices").json["invoices"]
    balance = client.get("wallet/balance").json
    totals = client.get("billing/history").json["totals"]["USDC"]
    assert parse(invoice["total"], "USDC") == parse(totals["spent"], "USDC") == charged
    assert balance["usdc_held"] == usage[running]["held"] == "7.20"
    assert parse(balance["usdc_balance"], "USDC") == parse("31", "USDC") - charged - parse("7.20", "USDC")
    assert totals["closing_balance"] == balance["usdc_balance"] and totals["by_type"]["deposit"] == "31.00"
    with client.hub.database.unit_of_work() as session:
        earned, fees = (ledger.balance(session, who, "USDC") for who in (Party("balance", provider.account_id), Party("fees")))
        assert earned + fees == charged and audit.differences(session) == []
