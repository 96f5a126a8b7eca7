"""What an operator sees of payouts, and what only a person decides."""

import json
import uuid
from pathlib import Path

from solders.keypair import Keypair

from app.core import payout_delays, payout_reconciliation, payout_signings, payouts
from app.db import Database
from app.values.money import Money
from app.values.payouts import Outgoing, Part
from tests.cli.test_commands import CommandLine
from tests.factories.payouts import earner, order, signer_process

SOL, WALLET = Money(50_000_000, "SOL"), "hot wallet"


def test_a_held_payout_is_listed_shown_retried_and_cancelled(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    assert "no payouts" in line.run("payouts", "list").stdout
    account, destination = earner(database, SOL)
    payout = order(database, account, SOL, "cocoon:proposal:7")
    with database.unit_of_work() as session:
        payouts.hold(session, payout, "three transactions failed")
        number = str(payouts.locked(session, payout).number)
    (row,) = line.json("payouts", "list", "--held")
    assert (row["id"], row["amount"], row["destination"]) == (str(payout), "0.050000000 SOL", destination)
    shown = line.json("payouts", "show", number)
    assert (shown["reference"], shown["held_reason"]) == ("cocoon:proposal:7", "three transactions failed")
    assert shown["signings"] == []
    assert "nothing was signed for it yet" in line.run("payouts", "show", str(payout)).stdout
    assert "will be signed again" in line.run("payouts", "retry", number).stdout
    assert "is not held" in line.refusal("payouts", "retry", number)
    with database.unit_of_work() as session:
        payout_delays.delay(session, {payout: "no USDC account: open one"})
    (row,) = line.json("payouts", "list", "--delayed")
    assert row["delayed_reason"] == "no USDC account: open one" and line.json("payouts", "list", "--held") == []
    assert "will be signed again" in line.run("payouts", "retry", number).stdout
    assert line.json("payouts", "list", "--delayed") == []
    assert "is cancelled" in line.run("payouts", "cancel", number).stdout
    assert "cannot go from cancelled" in line.refusal("payouts", "cancel", number)
    assert line.json("payouts", "list") == [] and len(line.json("payouts", "list", "--all")) == 1
    for wrong in ("0", "99999", "x"):
        assert "payout" in line.refusal("payouts", "show", wrong)


def test_a_difference_halts_until_somebody_says_that_he_looked(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, "solana", WALLET)
        for name in "ab":
            found = Outgoing(name, name, 1, None, (Part(None, "somebody", "SOL", 7),))
            assert payout_reconciliation.match(session, "solana", WALLET, found).difference
    (wallet,) = line.json("payouts", "wallets")
    assert wallet["halted_at"] and "somebody" in wallet["halted_reason"]
    listed = line.run("payouts", "differences", "--json")
    first, second = json.loads(listed.stdout)["differences"]
    assert {first["kind"], second["kind"]} == {"unrecorded"}
    assert "others are open" in line.run("payouts", "acknowledge", first["id"], "--by", "jane").stdout
    assert line.json("payouts", "wallets")[0]["halted_at"]
    assert "signing goes on" in line.run("payouts", "acknowledge", "all", "--by", "jane").stdout
    assert line.json("payouts", "wallets")[0]["halted_at"] is None
    assert "no such open difference" in line.refusal("payouts", "acknowledge", first["id"])
    assert line.run("payouts", "differences").stdout.strip() == "no differences"
    told = line.json("payouts", "differences", "--all")["differences"]
    assert [item["acknowledged_by"] for item in told] == ["jane", "jane"]


def test_what_a_restored_backup_has_lost_is_entered_and_booked(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    account, destination = earner(database, SOL)
    memo = str(uuid.uuid4())
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, "solana", WALLET)
        found = Outgoing("a", "a", 1, None, (Part(memo, destination, "SOL", SOL.minor),))
        assert payout_reconciliation.match(session, "solana", WALLET, found).difference
    difference = json.loads(line.run("payouts", "differences", "--json").stdout)["differences"][0]["id"]
    assert "nobody is known" in line.refusal("payouts", "enter", memo, "0.05", "SOL", str(Keypair().pubkey()))
    assert "no payout" in line.refusal("payouts", "book", difference, "77")
    assert "held" in line.run("payouts", "enter", memo, "0.05", "SOL", destination).stdout
    assert "in the books" in line.refusal("payouts", "enter", memo, "0.05", "SOL", destination, "--account", str(account))
    assert "is booked as paid" in line.run("payouts", "book", difference, memo).stdout
    assert (line.json("payouts", "show", memo)["state"], line.json("payouts", "list")) == ("confirmed", [])


def test_the_signer_s_wallets(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    assert "does not answer" in line.refusal("signer", "addresses")
    assert str(tmp_path) in line.run("signer", "make-keys").stdout
    with signer_process(tmp_path / "home") as found:
        told = {**found.client.addresses(), "solana-fees": found.client.fee_payer()}
        assert line.json("signer", "addresses") == told


def test_what_only_one_server_showed_is_disowned(database: Database, database_url: str, tmp_path: Path) -> None:
    line = CommandLine(tmp_path, DATABASE_URL=database_url)
    account, destination = earner(database, SOL)
    payout = order(database, account, SOL)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, "solana", WALLET)
        shown = Outgoing("a" * 64, "a" * 64, 1, None, (Part(str(payout), destination, "SOL", SOL.minor),))
        assert payout_reconciliation.match(session, "solana", WALLET, shown).adopted is not None
    assert "no such transaction" in line.refusal("payouts", "disown", "ton", "a" * 64)
    assert "payouts held: 1 " in line.run("payouts", "disown", "solana", "a" * 64).stdout
    assert "is decided" in line.refusal("payouts", "disown", "solana", "a" * 64)
    (row,) = line.json("payouts", "list", "--held")
    assert row["id"] == str(payout) and "disowned" in row["held_reason"]
