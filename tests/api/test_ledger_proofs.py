"""RenderTrust's ledger endpoints on a real chain, and the stand-alone script that a stranger checks their proofs with."""

import copy
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.config import DEVELOPMENT_ANCHOR_KEY, Settings
from app.core import accounts
from app.db import Database
from app.errors import InvalidInput
from app.factory import create_app
from app.models.accounts import SCOPES
from app.values import merkle, proof_check
from app.wiring import Hub
from tests.factories import command_lines
from tests.factories.evm_chains import EvmChain, any_chain
from tests.factories.ledgers import anchor_all, as_superuser, batches, build_tree, build_trees, post_transfers

SCRIPT = Path(__file__).parent.parent.parent / "docs" / "verify_proof.py"


@pytest.fixture(scope="module")
def chain() -> Iterator[EvmChain]:
    with any_chain() as found:
        yield found


@pytest.fixture
def settings(database_url: str, redis_url: str, chain: EvmChain, tmp_path: Path) -> Settings:
    return Settings(
        lightyard_home=str(tmp_path),
        database_url=database_url,
        redis_url=redis_url,
        solana_rpc_url="http://127.0.0.1:1",
        evm_rpc_url=chain.url,
        evm_anchor_key=DEVELOPMENT_ANCHOR_KEY,
        rate_limits=False,
    )


class Ledger:
    """A caller of the endpoints: an owner of entries, or the operator."""

    def __init__(self, client: FlaskClient, database: Database, owner: uuid.UUID | None) -> None:
        with database.unit_of_work() as session:
            if owner is None:
                key = accounts.ensure_operator(session)
            else:
                key = accounts.create_key(session, owner, "test", ["credits:read"])
        self.client, self.headers = client, {"Authorization": f"Bearer {key}"}

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.client.get(f"/api/v1/ledger/{path}", headers=self.headers, query_string=query)
        assert answer.status_code == status, answer.json
        if status != 200:
            assert isinstance(answer.json["detail"], str)
        return answer.json


@pytest.fixture
def operator(client: FlaskClient, hub: Hub) -> Ledger:
    return Ledger(client, hub.database, None)


def anchor(hub: Hub) -> None:
    anchor_all(hub.database, hub.evm)


def script(proof: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    """As a stranger runs it: nothing of this project on its path."""
    command = [sys.executable, "-I", str(SCRIPT), "-", *options]
    return subprocess.run(command, input=json.dumps(proof), capture_output=True, text=True, timeout=60)


def own_entry(database: Database, owner: uuid.UUID) -> tuple[int, uuid.UUID]:
    query = """SELECT n.number, e.id FROM entry_numbers n JOIN entries e ON e.id = n.entry_id
        JOIN ledger_accounts a ON a.id = e.account_id WHERE a.owner_id = :owner ORDER BY n.number"""
    with database.unit_of_work() as session:
        row = session.execute(text(query), {"owner": owner}).first()
        assert row is not None
        return row[0], row[1]


SIZES = {1: range(1), 2: range(2), 3: range(3), 5: range(5), 100: (0, 1, 31, 63, 64, 96, 99), 101: (0, 63, 64, 99, 100)}


@pytest.mark.parametrize("size", SIZES)
def test_the_stand_alone_script_proves_each_leaf(hub: Hub, operator: Ledger, chain: EvmChain, size: int) -> None:
    build_tree(hub.database, size)
    anchor(hub)
    for index in SIZES[size]:
        proof = operator.get(f"{index + 1}/proof")
        assert (proof["leaf_index"], proof["tree_size"], proof["anchor_status"]) == (index, size, "final")
        done = script(proof, "--rpc", chain.url)
        assert done.returncode == 0 and done.stdout.startswith("PROVEN"), done.stderr
        assert f"in block {proof['block_number']}" in done.stdout


def test_the_script_is_short_and_needs_nothing() -> None:
    lines = SCRIPT.read_text().splitlines()
    imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 60 and imports <= sys.stdlib_module_names


def altered(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def alter(proof: dict[str, Any]) -> None:
        proof[name] = change(proof[name])

    return alter


LIES = {
    "another leaf": altered("leaf", lambda leaf: leaf.replace("100000", "900000")),
    "another leaf hash": altered("leaf_hash", lambda digest: digest[::-1]),
    "another place": altered("leaf_index", lambda index: index + 1),
    "another size": altered("tree_size", lambda size: size + 3),
    "another root": altered("merkle_root", lambda root: root[::-1]),
    "a turned side": altered("directions", lambda sides: ["left" if side == "right" else "right" for side in sides]),
    "a shorter path": altered("proof_hashes", lambda hashes: hashes[:-1]),
    "another entry": altered("entry_id", lambda number: number + 1),
}
CHAIN_LIES = {
    "another block": altered("block_number", lambda number: number + 1),
    "another transaction": altered("anchor_tx_hash", lambda tx: tx[:-4] + "0000"),
    "no transaction": altered("anchor_tx_hash", lambda _: None),
}


def verify(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """`lightyard verify-proof`, by somebody who has no settings."""
    return command_lines.run("verify-proof", *arguments, environment={"PATH": os.environ["PATH"]}, given=given)


@pytest.mark.parametrize("lie", [*LIES, *CHAIN_LIES])
def test_a_lie_is_found_by_script_and_command(hub: Hub, operator: Ledger, chain: EvmChain, tmp_path: Path, lie: str) -> None:
    build_tree(hub.database, 5)
    anchor(hub)
    proof = operator.get("3/proof")
    told = copy.deepcopy(proof)
    (LIES | CHAIN_LIES)[lie](told)
    assert told != proof
    done = script(told, "--rpc", chain.url)
    assert done.returncode == 1 and done.stderr.startswith("NOT PROVEN: "), done
    (tmp_path / "proof.json").write_text(json.dumps(told))
    refused = verify(str(tmp_path / "proof.json"), "--rpc", chain.url)
    assert refused.returncode == 1 and refused.stderr.startswith("lightyard: "), refused


@pytest.mark.parametrize("garbage", ["", "{}", "[]", "null", '{"leaf":5}', "[" * 100_000])
def test_the_script_says_no_to_garbage_in_one_line(garbage: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "-"], input=garbage, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("NOT PROVEN: ") and len(done.stderr.splitlines()) == 1


def test_a_root_of_another_tree_on_the_chain_is_no_proof(hub: Hub, operator: Ledger, chain: EvmChain) -> None:
    build_trees(hub.database, 2)
    anchor(hub)
    first, third = operator.get("1/proof"), operator.get("3/proof")
    first |= {name: third[name] for name in ("anchor_tx_hash", "block_number")}
    done = script(first, "--rpc", chain.url)
    assert done.returncode == 1 and "another root" in done.stderr


def test_the_command_checks_a_file_and_standard_input(hub: Hub, operator: Ledger, chain: EvmChain) -> None:
    build_tree(hub.database, 3)
    anchor(hub)
    proof = operator.get("2/proof")
    for arguments in (["-", "--rpc", chain.url], ["-"]):
        done = verify(*arguments, given=json.dumps(proof))
        assert done.returncode == 0, done.stderr
        assert ("the root is on the chain" in done.stdout) == ("--rpc" in arguments)
    deep = "[" * 100_000
    nested = proof | {"leaf": deep, "leaf_hash": merkle.leaf_hash(deep.encode()).hex()}
    odd = [json.dumps(proof | change) for change in ({"entry_id": float("inf")}, {"leaf": "\ud800"})] + [json.dumps(nested)]
    for garbage in ("", "{}", "[]", '{"entry_id":1}', deep, *odd):
        done = verify("-", given=garbage)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done


@pytest.mark.parametrize("name, value", [("proof_hashes", [1]), ("leaf_index", "x"), ("merkle_root", "zz"), ("directions", None)])
def test_a_member_that_is_none_is_named(hub: Hub, operator: Ledger, name: str, value: Any) -> None:
    build_tree(hub.database, 2)
    with pytest.raises(InvalidInput):
        proof_check.read(operator.get("1/proof") | {name: value})


def test_proof_and_verify_are_the_seeds(hub: Hub, client: FlaskClient, chain: EvmChain) -> None:
    owner = build_tree(hub.database, 4)
    mine = Ledger(client, hub.database, owner)
    number, entry_id = own_entry(hub.database, owner)
    waiting = mine.get(f"{number}/proof")
    assert (waiting["anchor_tx_hash"], waiting["block_number"], waiting["anchor_status"]) == (None, None, "built")
    verdict = mine.get(f"{number}/verify")
    assert (verdict["verified"], verdict["on_chain_root"], verdict["tx_hash"]) == (False, None, None)
    assert "not on a chain yet" in verdict["reason"] and verdict["first_difference"] is None
    anchor(hub)
    proof = mine.get(f"{number}/proof")
    assert proof == mine.get(f"{entry_id}/proof") and proof["entry_id"] == number
    leaf = json.loads(proof["leaf"])
    assert leaf.keys() >= {"id", "account", "direction", "amount", "asset", "reference", "time"}
    assert (leaf["id"], leaf["uuid"], leaf["direction"], leaf["amount"], leaf["asset"]) == (
        number, str(entry_id), "CREDIT", "100000", "CREDIT",
    )
    verdict = mine.get(f"{entry_id}/verify")
    assert verdict == {
        "verified": True,
        "entry_id": number,
        "merkle_root": proof["merkle_root"],
        "on_chain_root": proof["merkle_root"],
        "block_number": proof["block_number"],
        "tx_hash": proof["anchor_tx_hash"],
        "reason": None,
        "first_difference": None,
    }
    assert proof["anchor_tx_hash"].startswith("0x") and len(proof["merkle_root"]) == 64 and proof["chain_id"] == chain.chain_id


def test_others_entries_are_unknown_and_what_is_no_id_is_said(hub: Hub, client: FlaskClient, operator: Ledger) -> None:
    owner = build_tree(hub.database, 4)
    other = Ledger(client, hub.database, post_transfers(hub.database, 1))
    number, entry_id = own_entry(hub.database, owner)
    for verb in ("proof", "verify"):
        for name in (number, entry_id, 0, 10**30, uuid.uuid4()):
            other.get(f"{name}/{verb}", status=404)
        assert operator.get(f"{number}/{verb}")["entry_id"] == number
        for name in ("-1", "1.5", "x", "²", "1e3", f"{entry_id}0"):
            other.get(f"{name}/{verb}", status=422)
        assert client.get(f"/api/v1/ledger/{number}/{verb}").status_code == 401
        assert "not in a tree yet" in operator.get(f"5/{verb}", status=404)["detail"]


def test_a_key_without_the_scope_is_refused(hub: Hub, client: FlaskClient) -> None:
    owner = build_tree(hub.database, 2)
    with hub.database.unit_of_work() as session:
        key = accounts.create_key(session, owner, "test", [scope for scope in SCOPES if scope != "credits:read"])
    for path in ("anchors", "1/proof", "1/verify"):
        answer = client.get(f"/api/v1/ledger/{path}", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403 and "credits:read" in answer.json["detail"]


def test_an_altered_row_is_found_and_named(hub: Hub, operator: Ledger) -> None:
    build_tree(hub.database, 6)
    anchor(hub)
    change = "UPDATE entries SET amount_minor = amount_minor * 2 WHERE id = (SELECT entry_id FROM entry_numbers WHERE number = 4)"
    as_superuser(hub.database, change)
    for number in (1, 4):
        verdict = operator.get(f"{number}/verify")
        assert verdict["verified"] is False and verdict["on_chain_root"] == verdict["merkle_root"]
        found = verdict["first_difference"]
        assert (found["entry_id"], found["fields"]) == (4, ["amount"]) and found["message"] == verdict["reason"]
    assert script(operator.get("4/proof")).returncode == 0, "what was anchored stays provable"


def test_a_tree_that_was_rewritten_whole_is_not_the_one_on_the_chain(hub: Hub, operator: Ledger) -> None:
    """Rows, texts and root are changed together, so that the tables agree with each other again."""
    build_tree(hub.database, 2)
    anchor(hub)
    before = operator.get("1/proof")
    texts = """UPDATE anchor_batches SET leaves = replace(leaves, '"100000"', '"1"')"""
    as_superuser(hub.database, "UPDATE entries SET amount_minor = 1", texts)
    forged = proof_check.read(operator.get("1/proof"))
    root = merkle.node_hash(forged.leaf_hash, forged.steps[0].sibling)
    as_superuser(hub.database, "UPDATE anchor_batches SET root = :root", root=root)
    assert script(operator.get("1/proof")).returncode == 0, "without the chain, a forged tree looks as good as any"
    verdict = operator.get("1/verify")
    assert verdict["verified"] is False and verdict["merkle_root"] != verdict["on_chain_root"] == before["merkle_root"]


def test_a_chain_that_is_away_or_another_one_is_said(hub: Hub, settings: Settings, operator: Ledger) -> None:
    build_tree(hub.database, 2)
    anchor(hub)
    as_superuser(hub.database, "UPDATE anchor_batches SET chain_id = 1")
    assert "chain 1" in operator.get("1/verify")["reason"]
    for url, status in (("", 200), ("http://127.0.0.1:1", 503)):
        app = create_app(replace(settings, evm_rpc_url=url))
        elsewhere = Ledger(app.test_client(), hub.database, None)
        body = elsewhere.get("1/verify", status=status)
        assert status == 503 or "no EVM chain is configured" in body["reason"]
        assert elsewhere.get("1/proof")["merkle_root"]
        app.extensions["lightyard"].database.engine.dispose()


def test_anchors_are_listed_by_page_and_time(hub: Hub, client: FlaskClient) -> None:
    build_trees(hub.database, 5)
    anchor(hub)
    anybody = Ledger(client, hub.database, post_transfers(hub.database, 1))
    whole = anybody.get("anchors")
    assert (whole["count"], whole["total"], whole["page"], whole["per_page"]) == (5, 5, 1, 20)
    assert [row["id"] for row in whole["anchors"]] == [5, 4, 3, 2, 1]
    newest = whole["anchors"][0]
    assert (newest["first_entry_id"], newest["last_entry_id"], newest["tree_size"], newest["status"]) == (9, 10, 2, "final")
    assert newest["tx_hash"].startswith("0x") and newest["block_number"] and newest["anchored_at"]
    second = anybody.get("anchors", page=2, per_page=2)
    assert [row["id"] for row in second["anchors"]] == [3, 2] and second["count"] == 2
    third = batches(hub.database)[2].created_at
    assert [row["id"] for row in anybody.get("anchors", since=third.isoformat())["anchors"]] == [5, 4, 3]
    later = (third + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert anybody.get("anchors", since=later)["anchors"] == []


def test_a_time_without_a_zone_is_utc_and_an_early_one_is_no_error(hub: Hub, operator: Ledger) -> None:
    build_trees(hub.database, 1)
    built = batches(hub.database)[0].created_at
    for since, count in ((built, 1), (built + timedelta(seconds=1), 0)):
        assert operator.get("anchors", since=since.strftime("%Y-%m-%dT%H:%M:%S.%f"))["count"] == count
    assert operator.get("anchors", since="0001-01-01T00:00:00+14:00")["count"] == 1


QUERIES = [("page", "0"), ("page", "x"), ("page", "1" * 30), ("per_page", "0"), ("per_page", "101"), ("since", "yesterday")]


@pytest.mark.parametrize("name, value", [*QUERIES, ("since", "9" * 400), ("since", "2026-13-01T00:00:00Z")])
def test_a_query_that_cannot_be_is_422(client: FlaskClient, operator: Ledger, name: str, value: str) -> None:
    operator.get("anchors", status=422, **{name: value})
