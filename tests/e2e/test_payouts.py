"""`make up` pays out by itself: an account with an automatic address is paid on Solana, a participant on TON."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from app.core import accounts, ledger, payouts
from app.core.ledger import Party
from app.core.payouts import PayoutRules
from app.db import Database, make_engine
from app.values.money import Money
from app.values.payouts import read_minimums
from tests.e2e.conftest import running_stack
from tests.factories import command_lines
from tests.factories.missing import go_without
from tests.factories.payouts import all_differences, all_payouts, earner
from tests.factories.stacks import wait_until

ROOT = Path(__file__).parent.parent.parent
OWED = {"SOL": 50_000_000, "USDC": 12_345_678, "RENDER": 5_000_000_000}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict, Database, Path]]:
    home = tmp_path_factory.mktemp("payouts")
    with running_stack(home, NODES="0") as endpoints:
        database = Database(make_engine(Settings(database_url=endpoints["database_url"])))
        yield endpoints, database, home
        database.engine.dispose()


def lightyard(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command_lines.run(*arguments, environment={"LIGHTYARD_HOME": str(home), "PATH": "/usr/bin:/bin"})


def test_what_is_due_is_paid_by_itself_on_solana(stack: tuple[dict, Database, Path]) -> None:
    endpoints, database, home = stack
    _, wallet = earner(database, *(Money(minor, asset) for asset, minor in OWED.items()))
    wait_until(lambda: sorted(row.state for row in all_payouts(database)) == ["confirmed"] * 3, "three payouts", 60)

    def rpc(method: str, *params: object) -> dict:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(endpoints["solana_rpc_url"], json=body, timeout=10).json()["result"]

    assert rpc("getBalance", wallet)["value"] == OWED["SOL"]
    for asset in ("USDC", "RENDER"):
        (row,) = rpc("getTokenAccountsByOwner", wallet, {"mint": endpoints["mints"][asset]}, {"encoding": "jsonParsed"})["value"]
        assert int(row["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"]) == OWED[asset]
    shown = json.loads(lightyard(home, "payouts", "show", str(all_payouts(database)[0].number), "--json").stdout)
    assert shown["state"] == "confirmed" and shown["signings"][0]["outcome"] == "landed"
    assert lightyard(home, "payouts", "differences").returncode == 0 and all_differences(database) == []


def test_a_participant_is_paid_on_ton(stack: tuple[dict, Database, Path]) -> None:
    endpoints, database, _ = stack
    if endpoints["ton_api_url"] is None:
        go_without("the local TON is not installed (`make ton-chain`), so nothing was paid on it")
    address, money = f"0:{uuid.uuid4().hex * 2}", Money(3_000_000_000, "TON")
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "ton", address)
        ledger.post(session, Party("issued"), Party("balance", account), money, "test:ton")
        rules = PayoutRules(read_minimums("0.01"), 0)
        payout = payouts.request(session, account, money, "test:ton", rules, destination=address).id

    def is_paid() -> bool:
        return next(row for row in all_payouts(database) if row.id == payout).state == "confirmed"

    wait_until(is_paid, "the payout on TON", 60)
    answer = httpx.get(f"{endpoints['ton_api_url']}/getAddressBalance", params={"address": address}, timeout=10).json()
    assert int(answer["result"]) == money.minor


def test_figures_and_processes_show_it(stack: tuple[dict, Database, Path]) -> None:
    endpoints, _, home = stack
    told = httpx.get(endpoints["metrics_url"], timeout=10).text
    for name in ("payout_wallets_halted", "payout_wallet_read_age_seconds", "payout_records_unconfirmed"):
        assert f"lightyard_{name}" in told
    assert len(json.loads((home / "processes.json").read_text())["signer"]) == 1
    addresses = json.loads(lightyard(home, "signer", "addresses", "--json").stdout)
    assert set(addresses) == {"solana", "ton"}
