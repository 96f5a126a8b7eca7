"""All of `lightyard`, command by command: its help, its JSON against a hub that runs, what it says without a database."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from app.config import Settings
from app.core import accounts, credits, payouts
from app.db import Database, make_engine
from app.stack import leftovers
from app.stack.ports import free_port
from app.values.money import Money, parse
from app.values.purposes import Purpose
from tests.cli.command_tree import ACTING, READING, WITHOUT_DATABASE, Entry, leaves
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace
from tests.factories.payouts import earner, order
from tests.factories.stacks import RunningStack, fresh_home, lightyard, wait_until

LEAVES = dict(leaves())
CALLS: dict[str, str | None] = {**READING, **ACTING}
AWAY = "postgresql://postgres@127.0.0.1:1/none"
MONEY = re.compile(r"amount|balance|price|minor|held|owed|opening|closing|came|went")
# Exit status 1 is a finding here, not a failure.
FINDINGS = {"doctor", "check-config"}


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Entry:
    return Entry(monkeypatch, capsys)


def test_each_command_is_in_the_table() -> None:
    """A new command belongs into tests/cli/command_tree.py: into READING with --json, or into ACTING."""
    assert set(LEAVES) - set(READING) - set(ACTING) == set()


@pytest.mark.parametrize("name", LEAVES)
def test_help_says_what_it_is_for_and_how_it_is_called(entry: Entry, name: str) -> None:
    code, out, err = entry(*name.split(), "--help")
    assert (code, err) == (0, "") and f"Usage: lightyard {name}" in out
    assert f"lightyard {name}" in out.partition("Examples:\n")[2]
    assert LEAVES[name].help and LEAVES[name].help[0].isupper()


@pytest.mark.parametrize("name", [name for name in READING if name in LEAVES])
def test_what_reads_speaks_json(name: str) -> None:
    assert "as_json" in [parameter.name for parameter in LEAVES[name].params if isinstance(parameter, click.Option)]


def test_a_wrong_call_says_how_it_is_called(entry: Entry) -> None:
    for arguments in (("ledger", "entries"), ("keys", "create", "king"), ("nodes", "lost"), ("nodes", "list", "--limit", "many")):
        code, out, err = entry(*arguments)
        assert (code, out) == (2, "") and "Usage: lightyard" in err and "--help" in err, arguments


def test_completion_is_offered(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> None:
    code, out, _ = entry(_LIGHTYARD_COMPLETE="bash_source")
    assert code == 0 and "complete" in out and "_LIGHTYARD_COMPLETE=bash_complete" in out
    assert "_LIGHTYARD_COMPLETE=bash_source" in entry("--help")[1]


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in WITHOUT_DATABASE and CALLS.get(name) is not None])
@pytest.mark.parametrize("url, said", [(AWAY, "is the server running?"), ("x", "is no address of a database"), ("", "make up")])
def test_without_a_database_each_says_what_to_do(entry: Entry, tmp_path: Path, name: str, url: str, said: str) -> None:
    told = str(CALLS[name]).format(letter=uuid.uuid4(), reference="x", node="x", payout="1").split()
    where = {"DATABASE_URL": url, "LIGHTYARD_HOME": str(tmp_path), "TON_WALLET": "0:" + "1" * 64, "TON_API_URL": "http://127.0.0.1:1"}
    code, out, err = entry(*name.split(), *told, **where)
    assert (code, out) == (1, "") and said in err and len(err.splitlines()) == 1, (out, err)


@pytest.mark.parametrize("url, said", [(AWAY, "is the server running?"), ("x", "is no address of a database")])
def test_a_stack_whose_database_is_away_says_so_and_leaves_nothing(url: str, said: str) -> None:
    with fresh_home() as home:
        done = lightyard("up", home=home, DATABASE_URL=url, NODES="0", PORT=str(free_port(899, 900, 901, 902)))
        assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr, done.stderr
        assert said in done.stderr.splitlines()[-1] and leftovers.of_home(home) == []


def test_a_database_of_another_age_is_named(entry: Entry, database: Database, database_url: str, tmp_path: Path) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE nodes DROP COLUMN drained_at")
    code, _, err = entry("nodes", "list", DATABASE_URL=database_url)
    assert code == 1 and "older than this program: run `lightyard migrate`" in err
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE reader LOGIN")
    try:
        code, _, err = entry("keys", "create", "operator", DATABASE_URL=database_url.replace("postgres@", "reader@"))
        assert code == 1 and "does not let the user of DATABASE_URL do this" in err
    finally:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DROP ROLE reader")


@dataclass
class Hub:
    """A stack that runs, with something of everything in it."""

    home: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with fresh_home() as home:
        stack = RunningStack(home, ANCHOR_INTERVAL_SECONDS="1").wait_ready()
        database = Database(make_engine(Settings(database_url=stack.endpoints["database_url"])))
        try:
            ids = fill(database) | {"proof": str(tmp_path_factory.mktemp("proof") / "proof.json")}
            Path(ids["proof"]).write_text(proof(stack))
            yield Hub(home, ids)
        finally:
            database.engine.dispose()
            assert stack.end() == 0


def fill(database: Database) -> dict[str, str]:
    with database.unit_of_work() as session:
        jane = accounts.register(session, "email", "jane@example.com", "Jane").id
        credits.grant(session, jane, parse("12.5", "CREDIT"), "operator:gift", Purpose.ADJUSTMENT)
    market, renter = Marketplace(database), Dispatcher(database, "10")
    nodes = [renter.node("compute", is_trusted=True) for _ in range(3)]
    renter.dispatch("echo", "10")
    for _ in range(3):
        renter.hasten(60)
        [claim] = [claim for node in nodes for claim in renter.claim(node)]
        renter.fail(claim)
    account, _ = earner(database, Money(50_000_000, "SOL"))
    payout = order(database, account, Money(50_000_000, "SOL"))
    with database.unit_of_work() as session:
        letter = session.connection().exec_driver_sql("SELECT id FROM dead_letters").scalar_one()
        number = payouts.locked(session, payout).number
    return {"letter": str(letter), "reference": "1", "node": str(market.node("workshop")), "payout": str(number)}


def proof(stack: RunningStack) -> str:
    """Of the first entry, once it is in a tree."""
    found: list[httpx.Response] = []
    headers = {"Authorization": f"Bearer {stack.endpoints['operator_api_key']}"}

    def is_there() -> bool:
        found[:] = [httpx.get(f"{stack.endpoints['api_url']}/api/v1/ledger/1/proof", headers=headers, timeout=10)]
        return found[0].status_code == 200

    wait_until(is_there, "a tree over the first entry")
    return found[0].text


@pytest.mark.parametrize("name", [name for name, call in READING.items() if call is not None])
def test_what_reads_prints_one_json_document(entry: Entry, hub: Hub, name: str) -> None:
    told = str(READING[name]).format(**hub.ids).split()
    code, out, err = entry(*name.split(), *told, "--json", LIGHTYARD_HOME=str(hub.home), NODES="0")
    assert code == 0 or name in FINDINGS, err
    body = json.loads(out)
    assert body is not None and list(floats(body)) == [], "money is text, or whole minor units"


def floats(body: Any, name: str = "") -> Iterator[str]:
    """Members that are money by their names and floats."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from floats(value, key)
    elif isinstance(body, list):
        for value in body:
            yield from floats(value, name)
    elif isinstance(body, float) and MONEY.search(name):
        yield name


def test_doctor_finds_nothing_wrong_with_a_hub_that_runs(entry: Entry, hub: Hub) -> None:
    code, out, _ = entry("doctor", "--json", LIGHTYARD_HOME=str(hub.home), NODES="0")
    found: dict[str, list[dict[str, str]]] = {}
    for item in json.loads(out):
        found.setdefault(item["name"], []).append(item)
    assert code == 0 and not [item for items in found.values() for item in items if item["mark"] == "FAIL"], out
    assert {"python", "packages", "postgres", "migrations", "clock", "valkey", "storage", "solana", "signer"} <= set(found)
    assert "local chain" in found["solana"][0]["text"] and any("SOL" in item["text"] for item in found["signer"])


def test_a_reader_who_has_seen_enough_is_no_failure(hub: Hub) -> None:
    """`lightyard ledger entries … | head -1`: no traceback about the pipe."""
    command = [sys.executable, "-m", "app.cli", "settings", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(30) == 1
