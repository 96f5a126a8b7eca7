"""Roots go onto a real chain, once each, whatever the chain, its RPC and our own processes do."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.adapters.chains.evm import EvmGateway
from app.config import DEVELOPMENT_ANCHOR_KEY
from app.db import Database
from app.errors import ChainUnavailable
from app.failpoints import FAILPOINTS
from app.flows import anchors
from app.flows.anchors import Patience
from app.stack.ports import free_port
from app.values import anchoring
from app.values.anchoring import Fees
from tests.factories.evm_chains import EvmChain, anvil_chain
from tests.factories.ledgers import anchor_all, attempts, batches, build_trees, only_batch
from tests.factories.stacks import wait_until

ROOT = Path(__file__).parent.parent.parent
AT_ONCE, DEEP, HASTY = Patience(1, 300), Patience(3, 300), Patience(1, 0)


def advance(database: Database, chain: EvmChain, patience: Patience = AT_ONCE, times: int = 1) -> None:
    gateway = chain.gateway()
    for _ in range(times):
        anchors.advance(database, gateway, patience)


def assert_anchored(database: Database, chain: EvmChain) -> None:
    """Every batch is final, and its root can be read in the block that is noted for it."""
    for batch in batches(database):
        assert batch.state == "final" and batch.tx_hash is not None
        found = chain.gateway().on_chain(batch.tx_hash)
        assert found is not None and found.block_number == batch.block_number
        assert anchoring.decode(found.data) == (batch.tree_size, batch.root)


def test_roots_are_anchored_one_transaction_each(database: Database, local_chain: EvmChain) -> None:
    before = local_chain.nonce()
    build_trees(database, 3)
    advance(database, local_chain)
    assert [batch.state for batch in batches(database)] == ["sent"] * 3
    anchor_all(database, local_chain.gateway())
    assert_anchored(database, local_chain)
    advance(database, local_chain, times=2)
    assert local_chain.nonce() == before + 3 and len(attempts(database)) == 3
    assert [batch.nonce for batch in batches(database)] == [before, before + 1, before + 2]


def test_sweeps_at_once_anchor_each_root_once(database: Database, local_chain: EvmChain) -> None:
    before = local_chain.nonce()
    build_trees(database, 6)
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: advance(database, local_chain), range(4)))
    anchor_all(database, local_chain.gateway())
    assert_anchored(database, local_chain)
    assert local_chain.nonce() == before + 6 and len(attempts(database)) == 6


def test_a_chain_that_is_away_leaves_everything_as_it_is(database: Database, local_chain: EvmChain) -> None:
    build_trees(database, 1)
    nowhere = EvmGateway((f"http://127.0.0.1:{free_port()}",), 1, DEVELOPMENT_ANCHOR_KEY)
    anchors.advance_if_possible(database, nowhere, AT_ONCE)
    assert only_batch(database).state == "built" and attempts(database) == []
    with pytest.raises(ChainUnavailable):
        anchors.advance(database, nowhere, AT_ONCE)
    both = EvmGateway((f"http://127.0.0.1:{free_port()}", local_chain.url), 5, DEVELOPMENT_ANCHOR_KEY)
    anchor_all(database, both)
    assert_anchored(database, local_chain)


class Silence(BaseHTTPRequestHandler):
    """Passes calls on, and takes transactions without ever saying so."""

    chain_url = ""
    is_over = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = httpx.post(self.chain_url, content=body, headers={"Content-Type": "application/json"}).content
        if json.loads(body)["method"] == "eth_sendRawTransaction":
            self.is_over.wait(30)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def silent(chain: EvmChain) -> Iterator[str]:
    over = threading.Event()
    handler = type("SilenceOf", (Silence,), {"chain_url": chain.url, "is_over": over})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_time_out_is_unknown_and_the_same_bytes_are_sent_again(database: Database, local_chain: EvmChain) -> None:
    before = local_chain.nonce()
    build_trees(database, 1)
    with silent(local_chain) as url:
        gateway = EvmGateway((url,), 2, DEVELOPMENT_ANCHOR_KEY)
        anchors.advance_if_possible(database, gateway, AT_ONCE)
    assert only_batch(database).state == "signed", "it has arrived, and nobody knows"
    wait_until(lambda: local_chain.nonce() == before + 1, "its block")
    anchor_all(database, local_chain.gateway())
    assert_anchored(database, local_chain)
    assert local_chain.nonce() == before + 1 and len(attempts(database)) == 1


POINTS = [name for name in FAILPOINTS if name.startswith("anchor.")]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at(database: Database, database_url: str, local_chain: EvmChain, tmp_path: Path, point: str) -> None:
    before = local_chain.nonce()
    build_trees(database, 2)
    if point == "anchor.landed":
        advance(database, local_chain)
        wait_until(lambda: local_chain.nonce() == before + 2, "their blocks")
    (tmp_path / point).touch()
    command = [sys.executable, str(ROOT / "tests" / "flows" / "anchoring_process.py"), database_url, local_chain.url]
    environment = {**os.environ, "LIGHTYARD_FAILPOINTS_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, timeout=60).returncode == -signal.SIGKILL
    assert not (tmp_path / point).exists()
    assert len(attempts(database)) == {"anchor.signing": 0, "anchor.landed": 2}.get(point, 1)
    anchor_all(database, local_chain.gateway())
    assert_anchored(database, local_chain)
    assert local_chain.nonce() == before + 2 and len(attempts(database)) == 2


@pytest.mark.system
def test_a_block_that_is_gone_sends_the_same_bytes_again(database: Database, anvil: EvmChain) -> None:
    anvil.mine(5)
    build_trees(database, 1)
    advance(database, anvil, DEEP)
    wait_until(lambda: anvil.nonce() == 1, "its block")
    advance(database, anvil, DEEP)
    first = only_batch(database)
    assert first.state == "confirmed" and first.block_number == 6, "one block of three"
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("anvil_reorg", 1, [])
    advance(database, anvil, DEEP)
    gone = only_batch(database)
    assert (gone.state, gone.tx_hash, gone.block_number, gone.reorgs) == ("sent", None, None, 1)
    advance(database, anvil, DEEP)
    anvil.mine(1)
    advance(database, anvil, DEEP)
    assert only_batch(database).state == "confirmed"
    anvil.mine(2)
    advance(database, anvil, DEEP)
    assert_anchored(database, anvil)
    (attempt,) = attempts(database)
    assert only_batch(database).tx_hash == first.tx_hash == attempt.tx_hash and attempt.times_sent == 2


@pytest.mark.system
def test_a_reorganization_that_moves_the_transaction_is_followed(database: Database, idle_anvil: EvmChain) -> None:
    """The new branch has the transaction as well, in another block."""
    idle_anvil.mine(5)
    build_trees(database, 1)
    advance(database, idle_anvil, DEEP)
    (attempt,) = attempts(database)
    idle_anvil.mine(1)
    advance(database, idle_anvil, DEEP)
    before = only_batch(database)
    raw = "0x" + bytes(attempt.raw).hex()
    idle_anvil.rpc("anvil_reorg", 1, [[raw, 0]])
    advance(database, idle_anvil, DEEP)
    moved = only_batch(database)
    assert moved.state == "confirmed" and moved.block_number == before.block_number and moved.block_hash != before.block_hash
    idle_anvil.mine(2)
    advance(database, idle_anvil, DEEP)
    assert_anchored(database, idle_anvil)


@pytest.mark.system
def test_a_dropped_transaction_is_sent_again_as_it_was(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 1)
    advance(database, idle_anvil, times=3)
    (attempt,) = attempts(database)
    assert attempt.times_sent == 1, "the pool has it"
    idle_anvil.rpc("anvil_dropTransaction", attempt.tx_hash)
    advance(database, idle_anvil)
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)
    (attempt,) = attempts(database)
    assert attempt.times_sent == 2 and idle_anvil.nonce() == 1


@pytest.mark.system
def test_a_stuck_transaction_is_replaced_by_a_dearer_one(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 2)
    advance(database, idle_anvil)
    advance(database, idle_anvil, HASTY)
    found = [(row.batch_number, row.ordinal, row.nonce) for row in attempts(database)]
    assert found == [(1, 1, 0), (1, 2, 0), (2, 1, 1)], "only the one whose turn it is"
    first, second, _ = attempts(database)
    assert second.most_fee_wei > first.most_fee_wei and second.priority_fee_wei > first.priority_fee_wei
    assert second.times_sent == 1
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)
    assert batches(database)[0].tx_hash == second.tx_hash and idle_anvil.nonce() == 2


@pytest.mark.system
def test_whichever_attempt_lands_counts(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 1)
    advance(database, idle_anvil)
    advance(database, idle_anvil, HASTY)
    first, second = attempts(database)
    idle_anvil.rpc("anvil_dropTransaction", second.tx_hash)
    idle_anvil.rpc("eth_sendRawTransaction", "0x" + bytes(first.raw).hex())
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)
    assert only_batch(database).tx_hash == first.tx_hash and idle_anvil.nonce() == 1


@pytest.mark.system
def test_two_sweeps_replace_a_stuck_transaction_once(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 1)
    advance(database, idle_anvil)
    gate = threading.Barrier(4)

    class Together(EvmGateway):
        def sign(self, data: bytes, chain_id: int, nonce: int, fees: Fees) -> anchoring.SignedAnchor:
            gate.wait(20)
            return super().sign(data, chain_id, nonce, fees)

    def replace(_: int) -> None:
        anchors.advance(database, Together((idle_anvil.url,), 10, DEVELOPMENT_ANCHOR_KEY), HASTY)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, range(4)))
    assert len(attempts(database)) == 2
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)


@pytest.mark.system
def test_no_more_than_the_settings_allow_is_offered(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 1)
    cheap = idle_anvil.gateway(most_fee_gwei=1)
    for _ in range(3):
        anchors.advance(database, cheap, HASTY)
    (attempt,) = attempts(database)
    assert attempt.most_fee_wei == 10**9
    idle_anvil.mine()
    advance(database, idle_anvil, times=2)
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)


@pytest.mark.system
def test_a_nonce_spent_by_somebody_else_is_given_up(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 2)
    advance(database, idle_anvil)
    gateway = idle_anvil.gateway()
    foreign = gateway.sign(b"not an anchor", gateway.chain_id(), 0, Fees(10**11, 10**10))
    assert gateway.send(foreign.raw) == "taken", "it replaces ours in the pool"
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert [batch.state for batch in batches(database)] == ["built", "final"]
    advance(database, idle_anvil)
    idle_anvil.mine()
    advance(database, idle_anvil)
    assert_anchored(database, idle_anvil)
    assert batches(database)[0].nonce == 2 and idle_anvil.nonce() == 3


@pytest.mark.system
def test_a_local_chain_that_lost_its_memory_gets_every_root_again(database: Database, anvil: EvmChain) -> None:
    build_trees(database, 3)
    anchor_all(database, anvil.gateway())
    assert_anchored(database, anvil)
    anvil.end()
    anvil.start()
    assert anvil.nonce() == 0
    advance(database, anvil)
    assert [batch.state for batch in batches(database)] == ["sent"] * 3
    anchor_all(database, anvil.gateway())
    assert_anchored(database, anvil)
    assert anvil.nonce() == 3 and len(attempts(database)) == 3, "the same bytes"


@pytest.mark.system
def test_what_was_signed_for_another_chain_starts_over(database: Database, idle_anvil: EvmChain) -> None:
    build_trees(database, 2)
    advance(database, idle_anvil)
    with anvil_chain("--chain-id", "5") as other:
        anchor_all(database, other.gateway())
        assert_anchored(database, other)
        assert [(row.chain_id, row.batch_number) for row in attempts(database)] == [(31337, 1), (5, 1), (31337, 2), (5, 2)]
    advance(database, idle_anvil, times=2)
    assert [batch.state for batch in batches(database)] == ["final"] * 2, "final is final, on its chain"
