"""`lightyard up` anchors its ledger by itself: entries are posted, their root gets onto the local chain, a stranger checks it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from app.config import Settings
from app.db import Database, make_engine
from devnet.evm import program
from tests.factories.ledgers import post_transfers
from tests.factories.missing import go_without
from tests.factories.stacks import FRESH, RunningStack, fresh_home, lightyard, wait_until

SCRIPT = Path(__file__).parent.parent.parent / "docs" / "verify_proof.py"


def test_an_entry_is_anchored_and_proven_and_a_killed_chain_comes_back() -> None:
    with fresh_home() as home:
        if program.command(0, home) is None:
            go_without("no local EVM chain is installed (`make evm-chain`), so nothing was anchored end to end")
        stack = RunningStack(home, ANCHOR_INTERVAL_SECONDS="1").wait_ready()
        found = stack.endpoints
        database = Database(make_engine(Settings(database_url=found["database_url"])))
        with httpx.Client(limits=FRESH, base_url=found["api_url"], headers={"X-API-Key": found["operator_api_key"]}) as client:
            post_transfers(database, 3)
            wait_until(lambda: anchored(client, 1), "the root is final")
            proof = client.get("/api/v1/ledger/1/proof").json()
            assert client.get("/api/v1/ledger/1/verify").json()["verified"] is True
            script = [sys.executable, "-I", str(SCRIPT), "-", "--rpc", found["evm_rpc_url"]]
            done = subprocess.run(script, input=json.dumps(proof), capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and done.stdout.startswith("PROVEN"), done.stderr
            path = home / "proof.json"
            path.write_text(json.dumps(proof))
            told = lightyard("verify-proof", str(path), home=home)
            assert told.returncode == 0 and "the root is on the chain" in told.stdout, "it finds the running stack's chain"
            before = stack.pid("evm")
            os.kill(stack.processes["evm"][0], signal.SIGKILL)
            wait_until(lambda: stack.pid("evm") not in (None, before), "the chain is back")
            post_transfers(database, 1)
            wait_until(lambda: anchored(client, 2), "the next root is final, and the first still is")
        database.engine.dispose()
        assert stack.end() == 0


def anchored(client: httpx.Client, count: int) -> bool:
    rows = client.get("/api/v1/ledger/anchors").json()["anchors"]
    return len(rows) >= count and all(row["status"] == "final" for row in rows)
