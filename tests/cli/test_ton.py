"""The operator's view of money that came in on TON: a deposit is asked for, what nobody claims is given away or put away."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

from app.core import accounts, arrivals, chain_cursors, ledger
from app.core.ledger import Party
from app.db import Database
from app.values.ton_address import TonAddress
from app.values.ton_arrivals import TonArrival
from tests.cli.test_commands import CommandLine

HUB, PAYER, MASTER = (TonAddress(0, bytes([number]) * 32) for number in (1, 2, 3))


def arrive(database: Database, number: int, asset: str | None = "TON", amount: int = 2_500_000_000) -> uuid.UUID:
    found = TonArrival(number, f"{number:064x}", datetime.now(UTC), asset, None, amount, "he\x1b[2J\nllo" + "x" * 200, PAYER)
    with database.unit_of_work() as session:
        arrivals.note(session, HUB, HUB, [found], only_ours=False)
        arrivals.prove(session, HUB)
        (waiting,) = arrivals.undecided(session)
        arrivals.decide(session, waiting, HUB)
    return waiting


def test_money_of_nobody_is_listed_assigned_and_put_away(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    with database.unit_of_work() as session:
        jane = accounts.ensure_identity(session, "email", "jane@example.com")
        wallet = accounts.ensure_identity(session, "ton", PAYER.raw)
    first, second, third = (arrive(database, number) for number in (1, 2, 3))
    fourth = arrive(database, 4, None, 10**30)
    listed = line.json("ton", "unclaimed")
    assert [(item["id"], item["amount"], item["asset"], item["code"]) for item in listed] == [
        *[(str(item), "2.500000000", "TON", "memo_unknown") for item in (first, second, third)],
        (str(fourth), str(10**30), None, "memo_unknown"),
    ]
    told = line.run("ton", "unclaimed").stdout
    assert "he?[2J?llox" in told and "\x1b" not in told and "x" * 100 not in told
    assert "2.500000000 TON are Jane@example.com's now" in line.run("ton", "assign", str(first), "Jane@example.com").stdout
    assert line.run("ton", "assign", str(second), PAYER.friendly()).returncode == 0
    assert "put away" in line.run("ton", "dismiss", str(third)).stdout
    assert "no money" in line.refusal("ton", "assign", str(fourth), str(jane))
    assert "no unclaimed" in line.refusal("ton", "assign", str(first), str(jane))
    assert "nobody is registered" in line.refusal("ton", "assign", str(fourth), "joe@example.com")
    assert "no account" in line.refusal("ton", "assign", str(fourth), str(uuid.uuid4()))
    assert "48 characters" in line.refusal("ton", "assign", str(fourth), "joe")
    with database.unit_of_work() as session:
        held = [ledger.balance(session, Party("balance", account), "TON").minor for account in (jane, wallet)]
        assert held == [2_500_000_000] * 2 and ledger.balance(session, Party("unclaimed"), "TON").minor == 2_500_000_000
    assert "belongs to somebody" not in line.run("ton", "unclaimed").stdout
    line.run("ton", "dismiss", str(fourth))
    assert "belongs to somebody" in line.run("ton", "unclaimed").stdout


def test_a_deposit_is_asked_for_and_its_wallet_can_be_read_anew(database: Database, database_url: str, tmp_path: Path) -> None:
    masters = f"{MASTER.friendly()}:USDT"
    line = CommandLine(tmp_path, DATABASE_URL=database_url, TON_WALLET=HUB.friendly(), TON_JETTON_MASTERS=masters)
    with database.unit_of_work() as session:
        accounts.ensure_identity(session, "email", "jane@example.com")
    assert "is not read" in line.refusal("ton", "reread", HUB.raw)
    asked = line.json("ton", "deposit", "jane@example.com", "1.5", "usdt")
    assert (asked["amount"], asked["asset"], asked["pay_to"]) == ("1.500000", "USDT", HUB.friendly(bounceable=False))
    assert asked["memo"] == f"deposit:{asked['id']}"
    told = line.run("ton", "deposit", "jane@example.com", "2").stdout
    assert "pay 2.000000000 TON" in told and asked["memo"] not in told
    assert "taken are TON, USDT" in line.refusal("ton", "deposit", "jane@example.com", "1", "SOL")
    assert "no payments on TON" in line.refusal("ton", "deposit", "jane@example.com", "1", TON_WALLET="")
    with database.unit_of_work() as session:
        (place,) = chain_cursors.due(session, chain="ton")
        chain_cursors.move(session, place, "5:ab")
    assert "nothing is booked twice" in line.run("ton", "reread", HUB.friendly()).stdout
    with database.unit_of_work() as session:
        assert [item.signature for item in chain_cursors.due(session, chain="ton")] == [None]
