"""Each command of `lightyard` as a process: what it prints, what it exits with, and that a mistake is one line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from sqlalchemy import text

from app.core import accounts
from app.db import Database
from app.errors import Unauthenticated
from tests.factories import command_lines
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace

WALLET = str(Keypair().pubkey())


class CommandLine:
    def __init__(self, folder: Path, **settings: str) -> None:
        base = {"PATH": os.environ["PATH"], "HOME": str(folder), "LIGHTYARD_HOME": str(folder / "home")}
        self.environment = base | settings

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        done = command_lines.run(*arguments, environment=self.environment | settings)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, **settings: str) -> Any:
        done = self.run(*arguments, "--json", **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refusal(self, *arguments: str, **settings: str) -> str:
        """The one message of a command that fails."""
        done = self.run(*arguments, **settings)
        assert done.returncode in (1, 2) and done.stdout == "", done
        return done.stderr.strip()


@pytest.fixture
def alone(tmp_path: Path) -> CommandLine:
    """A command line without any database."""
    return CommandLine(tmp_path)


@pytest.fixture
def command_line(tmp_path: Path, database_url: str) -> CommandLine:
    return CommandLine(tmp_path, DATABASE_URL=database_url)


def test_keys_are_made_listed_and_revoked(command_line: CommandLine) -> None:
    made = command_line.json("keys", "create", "client", "--wallet", WALLET, "--name", "ci", "--scopes", "jobs:read,jobs:write")
    assert made["expires_at"] is None and made["key"].startswith("ly_") and made["scopes"] == ["jobs:read", "jobs:write"]
    (row,) = command_line.json("keys", "list")
    assert (row["name"], row["identities"], row["roles"], row["scopes"]) == ("ci", WALLET, ["client"], made["scopes"])
    assert made["key"].startswith(row["prefix"]) and made["key"] not in json.dumps(row)
    assert "ci" in command_line.run("keys", "list").stdout
    assert command_line.run("keys", "revoke", row["prefix"]).stdout.startswith(f"revoked {row['prefix']}")
    assert command_line.json("keys", "list")[0]["revoked_at"] is not None
    assert "no key that is alive" in command_line.refusal("keys", "revoke", row["prefix"])


def test_a_key_is_revoked_however_many_are_newer_and_whatever_its_name_would_do(
    command_line: CommandLine, database: Database
) -> None:
    """Anybody may make and end keys of their own as often as they like, and name them."""
    with database.unit_of_work() as session:
        owner = accounts.ensure_identity(session, "solana", WALLET)
        secret = accounts.create_key(session, owner, "\x1b]0;mine\x07", ["jobs:read"])
        session.flush()
        newer = """INSERT INTO api_keys
            (id, account_id, name, prefix, secret_hash, scopes, needs_wallet_signature, created_at, revoked_at)
            SELECT gen_random_uuid(), :owner, 'k', 'ly_x', 'h' || n, '{}', false, now() + interval '1 hour', now()
            FROM generate_series(1, 1001) n"""
        session.execute(text(newer), {"owner": owner})
    assert len(command_line.json("keys", "list")) == 1000
    assert command_line.run("keys", "revoke", secret[:10]).stdout == f"revoked {secret[:10]}… (?]0;mine?)\n"
    with database.unit_of_work() as session, pytest.raises(Unauthenticated):
        accounts.authenticate_key(session, secret)


def test_keys_for_robocompute_need_the_wallet(command_line: CommandLine) -> None:
    for role, prefix in (("client", "rc_live_"), ("provider", "rc_prov_live_")):
        made = command_line.json("keys", "create", role, "--wallet", WALLET, "--robocompute")
        assert made["key"].startswith(prefix) and len(made["prefix"]) == len(prefix) + 7
    assert command_line.run("keys", "revoke", made["prefix"]).stdout.startswith(f"revoked {made['prefix']}")
    assert "leave --robocompute out" in command_line.refusal("keys", "create", "operator", "--robocompute")


def test_a_rate_tier_is_agreed_on(command_line: CommandLine) -> None:
    assert "nobody is known as" in command_line.refusal("accounts", "tier", WALLET, "pro")
    command_line.run("keys", "create", "client", "--wallet", WALLET)
    assert command_line.json("accounts", "tier", WALLET, "pro")["requests_per_minute"] == 1000
    agreed = command_line.run("accounts", "tier", WALLET, "enterprise", "--per-minute", "5000")
    assert agreed.stdout == f"{WALLET} is enterprise: 5000 requests a minute\n"
    assert "needs a number" in command_line.refusal("accounts", "tier", WALLET, "enterprise")
    assert "from 1 to 100000" in command_line.refusal("accounts", "tier", WALLET, "enterprise", "--per-minute", "0")
    assert "platform's own" in command_line.refusal("accounts", "tier", "chain", "pro")


@pytest.mark.parametrize("role", ["operator", "provider"])
def test_a_key_has_its_roles_usual_scopes(command_line: CommandLine, role: str) -> None:
    wallet = () if role == "operator" else ("--wallet", WALLET)
    made = command_line.run("keys", "create", role, *wallet)
    assert made.stdout.startswith("ly_") and len(made.stdout.splitlines()) == 1, "the secret alone, for a script to keep"
    (row,) = command_line.json("keys", "list")
    assert role in row["roles"] and "nodes:write" in row["scopes"]
    assert ("admin:write" in row["scopes"]) == (role == "operator")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("client",), "needs --wallet"),
        (("client", "--wallet", "x"), "needs --wallet"),
        (("operator", "--wallet", WALLET), "leave --wallet out"),
        (("operator", "--scopes", "jobs:fly"), "unknown scopes ['jobs:fly']; known are jobs:read"),
        (("king",), "is not one of"),
        (("operator", "--expires", "soon"), "neither hours or days"),
        (("operator", "--expires", "2020-01-01"), "is over already"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(command_line: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    assert message in command_line.refusal("keys", "create", *arguments)
    assert command_line.json("keys", "list") == []


def test_nodes_are_listed(command_line: CommandLine, database: Database) -> None:
    assert "no nodes yet" in command_line.run("nodes", "list").stdout
    Marketplace(database).node("workshop")
    (row,) = command_line.json("nodes", "list")
    assert (row["name"], row["status"], row["provider"], row["is_trusted"]) == ("workshop", "HEALTHY", "farm", True)
    assert row["queues"] == ["render"] and row["units"] == 0
    assert "workshop  HEALTHY  farm" in command_line.run("nodes", "list").stdout


def test_a_node_is_shown_trusted_and_drained(command_line: CommandLine, database: Database) -> None:
    market = Marketplace(database)
    node = market.node("workshop")
    market.paid_job(frames=2)
    (claim,) = market.claim(node, 1)
    shown = command_line.json("nodes", "show", "workshop")
    assert (shown["units"], shown["attempts"][0]["id"], shown["attempts"][0]["state"]) == (1, str(claim.attempt_id), "live")
    assert "workshop" in command_line.run("nodes", "show", str(node)[:8]).stdout
    assert "there is no node" in command_line.refusal("nodes", "show", "nobody")
    assert "is trusted no more" in command_line.run("nodes", "untrust", "workshop").stdout
    assert command_line.json("nodes", "list")[0]["queues"] == [f"render.{market.provider_id}"]
    assert "was not trusted before" in command_line.run("nodes", "untrust", "workshop").stdout
    assert "there is no node 'workshop'" in command_line.refusal("nodes", "trust", "workshop"), "only by its id"
    assert "is trusted;" in command_line.run("nodes", "trust", str(node)[:8]).stdout
    assert "gets nothing new" in command_line.run("nodes", "drain", "workshop").stdout
    (row,) = command_line.json("nodes", "list")
    assert row["is_draining"] and row["drained_at"] and row["units"] == 1
    assert "may work again" in command_line.run("nodes", "resume", "workshop").stdout
    market.node("workshop")
    assert "means several nodes" in command_line.refusal("nodes", "drain", "workshop")


@pytest.mark.parametrize("gpus", ["5", '"x"', '["x", 5, null]', "{}"])
def test_a_node_may_say_anything_of_its_gpus(command_line: CommandLine, database: Database, gpus: str) -> None:
    Marketplace(database).node("liar")
    with database.unit_of_work() as session:
        session.execute(text("UPDATE nodes SET machine = CAST(:machine AS jsonb)"), {"machine": f'{{"gpus": {gpus}}}'})
    (row,) = command_line.json("nodes", "list")
    assert row["gpus"] == []


def test_invariants_hold_and_a_broken_book_is_shown(command_line: CommandLine, database: Database) -> None:
    market = Marketplace(database)
    market.paid_job()
    assert command_line.json("invariants") == {"differences": []}
    with database.unit_of_work() as session:
        session.connection().exec_driver_sql("UPDATE ledger_accounts SET balance_minor = 7 WHERE balance_minor IS NOT NULL")
    broken = command_line.run("invariants")
    assert broken.returncode == 1 and "a balance that its entries do not add up to" in broken.stdout


def test_dead_letters_are_listed_and_replayed(command_line: CommandLine, database: Database) -> None:
    assert "no dead letters" in command_line.run("dead-letters", "list").stdout
    renter = Dispatcher(database, "10")
    nodes = [renter.node("compute") for _ in range(3)]
    job_id, _ = renter.dispatch("echo", "10")
    for _ in range(3):
        renter.hasten(60)
        [claim] = [claim for node in nodes for claim in renter.claim(node)]
        renter.fail(claim)
    (row,) = command_line.json("dead-letters", "list")
    assert (row["job_id"], row["job_type"], row["attempts"], row["replayed_at"]) == (str(job_id), "echo", 3, None)
    assert "CRASHED" in command_line.run("dead-letters", "list").stdout
    shown = command_line.json("dead-letters", "show", row["id"])
    assert (shown["price"], [item["error_code"] for item in shown["tries"]]) == ("10.0000", ["CRASHED"] * 3)
    assert "boom" in command_line.run("dead-letters", "show", row["id"]).stdout
    assert "not found" in command_line.refusal("dead-letters", "show", str(job_id))
    assert "is no dead letter's id" in command_line.refusal("dead-letters", "replay", "x")
    assert "not found" in command_line.refusal("dead-letters", "replay", str(job_id))
    assert command_line.json("dead-letters", "replay", row["id"]) == {"id": row["id"], "job_id": str(job_id), "status": "QUEUED"}
    assert "replayed already" in command_line.refusal("dead-letters", "replay", row["id"])
    assert command_line.json("dead-letters", "list") == [] and len(command_line.json("dead-letters", "list", "--all")) == 1
    assert renter.money("held") == "10.0000"


def test_migrate_makes_the_tables(tmp_path: Path, postgres: Any) -> None:
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE cli_migrate")
    command_line = CommandLine(tmp_path, DATABASE_URL=postgres.database_url("cli_migrate"))
    assert "run `lightyard migrate`" in command_line.refusal("nodes", "list")
    assert command_line.run("migrate").returncode == 0
    assert command_line.json("nodes", "list") == []


@pytest.mark.parametrize("arguments", [("keys", "list"), ("nodes", "list"), ("invariants",), ("migrate",)])
def test_without_a_database_each_says_what_to_do(alone: CommandLine, arguments: tuple[str, ...]) -> None:
    assert "no stack is running in" in alone.refusal(*arguments) and "make up" in alone.refusal(*arguments)
    away = alone.refusal(*arguments, DATABASE_URL="postgresql://postgres@127.0.0.1:1/none")
    assert "database" in away and ("try again" in away or "DATABASE_URL" in away)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nobody", "1", "SOL"), "is not a Solana address"),
        ((WALLET, "one", "SOL"), "is not an amount"),
        ((WALLET, "-1", "SOL"), "No such option"),
        ((WALLET, "0", "SOL"), "more than 0"),
        ((WALLET, "0.0000001", "USDC"), "USDC has 6 decimals"),
        ((WALLET, "1", "BTC"), "is not one of"),
        ((WALLET, "1", "SOL"), "no stack is running in"),
    ],
)
def test_the_faucet_refuses_what_it_cannot_give(alone: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    assert message in alone.refusal("faucet", *arguments)


def test_a_chain_that_is_away_is_named(alone: CommandLine) -> None:
    message = alone.refusal("faucet", WALLET, "1", "SOL", SOLANA_RPC_URL="http://127.0.0.1:1")
    assert "http://127.0.0.1:1 does not answer" in message and "make up" in message


def test_check_config_names_what_production_refuses(alone: CommandLine) -> None:
    refused = alone.run("check-config", "--json", LIGHTYARD_ENV="production", DEBUG="on")
    assert refused.returncode == 1
    assert set(json.loads(refused.stdout)["refused"]) == {"SECRET_KEY", "DEBUG", "SOLANA_RPC_URL", "DATABASE_URL", "REDIS_URL"}
    assert "DEBUG must be off" in alone.run("check-config", DEBUG="on").stdout
    safe = {
        "SECRET_KEY": "a-test-s-own-key-0123456789abcdef",
        "SOLANA_RPC_URL": "https://rpc.example.org",
        "DATABASE_URL": "postgresql://db/x",
        "REDIS_URL": "redis://cache/0",
    }
    boots = alone.run("check-config", **safe)
    assert (boots.returncode, boots.stdout) == (0, "production would boot\n")
    assert "warning: METRICS_TOKEN is empty" in boots.stderr
    assert "PUBLIC_URL" in json.loads(alone.run("check-config", "--json", **safe).stdout)["warnings"]
    bad = {**safe, "TRUSTED_PROXIES": "everybody", "STORAGE_URL": "ftp://host/folder"}
    told = alone.run("check-config", **bad)
    assert told.returncode == 1 and told.stdout.startswith("no hub would boot:\nTRUSTED_PROXIES must be addresses or networks")
    assert "STORAGE_URL must be file:///folder or s3://bucket/prefix" in told.stdout and "production" not in told.stdout
    assert json.loads(alone.run("check-config", "--json", **bad).stdout)["malformed"] == ["TRUSTED_PROXIES", "STORAGE_URL"]


def test_a_setting_of_the_wrong_shape_is_one_line(alone: CommandLine) -> None:
    assert alone.refusal("check-config", PORT="many") == "lightyard: PORT must be a whole number, not 'many'"
    assert alone.refusal("up", PORT="70000") == "lightyard: PORT must be from 1 to 65535, not 70000"
    assert "set PORT to 64633 or less" in alone.refusal("up", PORT="65000")


def test_doctor_finds_what_is_missing(alone: CommandLine) -> None:
    gone = alone.run("doctor", "--json", NODES="0", DATABASE_URL="postgresql://x@127.0.0.1:1/x", REDIS_URL="redis://127.0.0.1:1/0")
    assert gone.returncode == 1
    bad = {found["name"]: found for found in json.loads(gone.stdout) if found["mark"] == "FAIL"}
    assert set(bad) == {"postgres", "valkey"} and all(found["advice"] for found in bad.values())


def test_doctor_is_content_with_the_embedded_parts_and_asks_the_node(alone: CommandLine) -> None:
    found = alone.run("doctor", PORT="29123")
    assert found.returncode == 0, found.stdout
    assert "OK    postgres: embedded" in found.stdout and "OK    node's blender: bpy 4.5" in found.stdout


def test_the_installed_script_is_the_same_command_line(alone: CommandLine) -> None:
    script = Path(sys.executable).parent / "lightyard"
    shown = subprocess.run([script, "--version"], env=alone.environment, capture_output=True, text=True)
    assert shown.stdout == alone.run("--version").stdout.replace("python -m app.cli", "lightyard") and shown.returncode == 0


def test_credits_are_granted_once_per_reference(command_line: CommandLine, database: Database) -> None:
    with database.unit_of_work() as session:
        accounts.register(session, "email", "jane@example.com", "Jane")
    first = command_line.json("credits", "grant", "Jane@Example.com", "12.5", "--reference", "gift")
    assert first == {"granted": True, "amount": "12.5000", "balance": "12.5000"}
    assert command_line.json("credits", "grant", "jane@example.com", "12.5", "--reference", "gift")["granted"] is False
    found = command_line.json("credits", "balance", "jane@example.com")
    assert found == {"balance": "12.5000", "held": "0.0000", "owed": "0.0000"}
    assert "nobody is registered" in command_line.refusal("credits", "grant", "other@example.com", "1")
    for amount in ("0", "-1", "x", "NaN", "0.00001", "1e30"):
        assert command_line.refusal("credits", "grant", "jane@example.com", "--", amount)
