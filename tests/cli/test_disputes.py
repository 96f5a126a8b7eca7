"""What an operator sees of disputes, and decides on the command line."""

import uuid
from pathlib import Path

from app.core import ledger, stakes
from app.core.ledger import Party
from app.db import Database
from app.values.money import parse
from tests.cli.test_commands import CommandLine
from tests.factories.finished_tasks import client, finished_task, fund, seller


def test_a_dispute_is_opened_listed_shown_and_decided_once(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    assert "no disputes" in line.run("disputes", "list").stdout
    farm, buyer = seller(database), client(database, "30")
    first, second = (str(finished_task(database, buyer, farm, "10")) for _ in range(2))
    with database.unit_of_work() as session:
        fund(session, farm.account_id, parse("20", "USDC"))
        stakes.stake(session, farm.account_id, parse("20", "USDC"), uuid.uuid4())
    made = line.json("disputes", "open", first, "--reason", "empty", "--expected", "ab" * 32)
    assert (made["status"], made["amount"], made["matches_expected"]) == ("open", "10.000000 USDC", True)
    assert line.json("disputes", "list") == [made] and line.json("disputes", "show", made["id"]) == made
    assert "has its dispute" in line.refusal("disputes", "open", first, "--reason", "again")
    said = line.run("disputes", "decide", made["id"], "slash", "--reason", "it is empty", "--penalty", "1", "--by", "jane").stdout
    assert "is slashed; 10.000000 USDC came back" in said
    assert "was decided" in line.refusal("disputes", "decide", made["id"], "reject", "--reason", "x")
    other = line.json("disputes", "open", second, "--reason", "late")
    assert "is rejected" in line.run("disputes", "decide", other["id"], "reject", "--reason", "it was not").stdout
    assert line.json("disputes", "list") == []
    decided = line.json("disputes", "list", "--all")
    assert [(row["status"], row["penalty"]) for row in decided] == [("rejected", None), ("slashed", "1.000000 USDC")]
    assert decided[1]["decided_by"] == "jane"
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", buyer), "USDC") == parse("20", "USDC")
        assert ledger.balance(session, Party("stake", farm.account_id), "USDC") == parse("9", "USDC")
    for wrong in ("x", "5f0c1c9e-0000-4000-8000-000000000000"):
        assert "dispute" in line.refusal("disputes", "show", wrong)
