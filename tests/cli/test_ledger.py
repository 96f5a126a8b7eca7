"""What `lightyard ledger` tells of the books, and that it can't change them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from app.cli.context import open_database
from app.core import accounts, audit, credits, statements
from app.db import Database
from app.values.money import parse
from app.values.purposes import Purpose
from tests.cli.command_tree import Entry
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str, tmp_path: Path) -> Entry:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("LIGHTYARD_HOME", str(tmp_path))
    return Entry(monkeypatch, capsys)


@pytest.fixture
def jane(database: Database) -> str:
    """Given 3 credits five times; a render was paid beside that."""
    Marketplace(database).paid_job()
    with database.unit_of_work() as session:
        account = accounts.register(session, "email", "jane@example.com", "Jane").id
        for number in range(5):
            credits.grant(session, account, parse("3", "CREDIT"), f"operator:{number}", Purpose.ADJUSTMENT, "a gift\n\x1b[2J")
        audit.number_entries(session)
    return str(account)


def test_totals_of_an_asset_are_nothing(entry: Entry, jane: str) -> None:
    rows = entry.json("ledger", "totals")
    assert {(row["asset"], row["kind"]): row["balance"] for row in rows}["CREDIT", "balance"] == "15.0000"
    for asset in {row["asset"] for row in rows}:
        assert sum(Decimal(row["balance"]) for row in rows if row["asset"] == asset) == 0


def test_balances_are_read_page_by_page(entry: Entry, jane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = entry.json("ledger", "balances")
    monkeypatch.setattr(statements, "PAGE_ROWS", 1)
    assert entry.json("ledger", "balances") == everybody and len(everybody) >= 4
    (mine,) = entry.json("ledger", "balances", "--account", "jane@example.com")
    assert (mine["account_id"], mine["owner"], mine["balance"], mine["balance_minor"]) == (
        jane, "email:jane@example.com", "15.0000", "150000",
    )  # fmt: skip
    assert {row["asset"] for row in entry.json("ledger", "balances", "--asset", "CREDIT")} == {"CREDIT"}
    assert {row["kind"] for row in entry.json("ledger", "balances", "--kind", "issued")} == {"issued"}
    assert "15.0000  CREDIT  balance" in entry("ledger", "balances", "--account", jane)[1]


def test_entries_come_newest_first_and_all_of_them(entry: Entry, jane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PAGE_ROWS", 2)
    rows = entry.json("ledger", "entries", "jane@example.com", "--limit", "0")
    assert [row["reference"].rpartition(":")[2] for row in rows] == ["4", "3", "2", "1", "0"]
    assert [row["balance_after"] for row in rows] == ["15.0000", "12.0000", "9.0000", "6.0000", "3.0000"]
    assert [row["number"] for row in rows] == sorted((row["number"] for row in rows), reverse=True)
    assert len(entry.json("ledger", "entries", jane, "--limit", "3")) == 3
    assert entry.json("ledger", "entries", jane, "--until", "2020-01-01") == []
    assert {row["amount"][0] for row in entry.json("ledger", "entries", "issued", "--asset", "CREDIT")} == {"-"}
    _, out, _ = entry("ledger", "transfer", rows[0]["reference"])
    assert "\x1b" not in out and "a gift??[2J" in out, "a terminal obeys nobody's description"


def test_a_transfer_is_found_by_whatever_names_it(entry: Entry, jane: str) -> None:
    (newest, *_) = entry.json("ledger", "entries", jane)
    found = entry.json("ledger", "transfer", newest["reference"])
    for name in (found["id"], newest["id"], str(newest["number"])):
        assert entry.json("ledger", "transfer", name) == found
    assert [(leg["direction"], leg["kind"], leg["amount"]) for leg in found["entries"]] == [
        ("DEBIT", "issued", "-3.0000"), ("CREDIT", "balance", "3.0000"),
    ]  # fmt: skip
    assert {leg["anchor_state"] for leg in found["entries"]} == {None}
    code, _, err = entry("ledger", "transfer", "nothing")
    assert code == 1 and "there is no transfer 'nothing'" in err


def test_a_statement_adds_up_or_says_that_it_does_not(
    entry: Entry, jane: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "PAGE_ROWS", 2)
    told = entry.json("ledger", "statement", "jane@example.com", "--asset", "CREDIT")
    assert (told["opening"], told["came"], told["went"], told["closing"]) == ("0.0000", "15.0000", "0.0000", "15.0000")
    assert told["adds_up"] and len(told["entries"]) == 5
    later = entry.json("ledger", "statement", jane, "--asset", "CREDIT", "--since", "2100-01-01")
    assert (later["opening"], later["entries"], later["closing"]) == ("15.0000", [], "15.0000")
    assert "has  15.0000 CREDIT" in entry("ledger", "statement", jane, "--asset", "CREDIT")[1]
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")  # past the trigger that keeps entries as they are
        connection.exec_driver_sql("UPDATE entries SET amount_minor = amount_minor + 1 WHERE balance_after_minor = 60000")
    code, out, err = entry("ledger", "statement", jane, "--asset", "CREDIT", "--json")
    assert code == 1 and json.loads(out)["adds_up"] is False and "lightyard invariants" in err


def test_a_platform_s_account_has_no_balance_of_its_own_and_adds_up_all_the_same(entry: Entry, jane: str) -> None:
    told = entry.json("ledger", "statement", "issued", "--asset", "CREDIT")
    assert (told["went"], told["closing"], told["adds_up"]) == ("15.0000", "-15.0000", True)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("entries", "nobody@example.com"), "nobody is known as 'nobody@example.com'"),
        (("entries", "exchange"), "never had exchange"),
        (("entries", "issued", "--since", "2026-02-01", "--until", "2026-01-01"), "--until must be later than --since"),
        (("statement", "jane@example.com", "--asset", "SOL"), "never had balance SOL"),
    ],
)
def test_what_is_not_there_is_said(entry: Entry, jane: str, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = entry("ledger", *arguments)
    assert (code, out) == (1, "") and said in err


def test_the_server_refuses_to_write_for_whoever_reads(entry: Entry, database_url: str, database: Database) -> None:
    Dispatcher(database)
    with open_database(only_reads=True) as (_, reading), pytest.raises(Exception, match="read-only transaction"):
        with reading.unit_of_work() as session:
            session.execute(text("UPDATE ledger_accounts SET balance_minor = 0"))
