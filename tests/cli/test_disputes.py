"""What an operator sees of disputes, and decides on the command line."""

import uuid

import pytest

from app.core import ledger, stakes
from app.core.ledger import Party
from app.db import Database
from app.values.money import parse
from tests.cli.command_tree import UUID, Entry
from tests.factories.finished_tasks import client, finished_task, fund, seller


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str) -> Entry:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return Entry(monkeypatch, capsys)


def test_a_dispute_is_opened_listed_shown_and_decided_once(database: Database, entry: Entry) -> None:
    def refusal(*arguments: str) -> str:
        code, out, err = entry("disputes", *arguments)
        assert (code, out) == (1, "") and len(err.splitlines()) == 1, (out, err)
        return err

    assert "no disputes" in entry("disputes", "list")[1]
    farm, buyer = seller(database), client(database, "30")
    first, second = (str(finished_task(database, buyer, farm, "10")) for _ in range(2))
    with database.unit_of_work() as session:
        fund(session, farm.account_id, parse("20", "USDC"))
        stakes.stake(session, farm.account_id, parse("20", "USDC"), uuid.uuid4())
    made = entry.json("disputes", "open", first, "--reason", "empty", "--expected", "ab" * 32)
    assert (made["status"], made["amount"], made["matches_expected"]) == ("open", "10.000000 USDC", True)
    assert entry.json("disputes", "list") == [made] and entry.json("disputes", "show", made["id"]) == made
    assert "has its dispute" in refusal("open", first, "--reason", "again")
    assert "slash only" in refusal("decide", made["id"], "reject", "--reason", "x", "--penalty", "1")
    assert "below zero" in refusal("decide", made["id"], "slash", "--reason", "x", "--penalty", "-1")
    decided = "decide", made["id"], "slash", "--reason", "it is empty", "--penalty", "1", "--by", "jane"
    assert "is slashed; 10.000000 USDC came back" in entry("disputes", *decided)[1]
    assert "was decided" in refusal(*decided)
    other = entry.json("disputes", "open", second, "--reason", "late")
    assert "is rejected" in entry("disputes", "decide", other["id"], "reject", "--reason", "it was not")[1]
    assert entry.json("disputes", "list") == []
    rows = entry.json("disputes", "list", "--all")
    assert [(row["status"], row["penalty"]) for row in rows] == [("rejected", None), ("slashed", "1.000000 USDC")]
    assert rows[1]["decided_by"] == "jane"
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", buyer), "USDC") == parse("20", "USDC")
        assert ledger.balance(session, Party("stake", farm.account_id), "USDC") == parse("9", "USDC")
    for wrong in ("x", UUID):
        assert "dispute" in refusal("show", wrong)
