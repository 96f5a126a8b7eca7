"""What landed outlives kill -9; broken homes and taken ports end with a word on what to do."""

import json
import os
import resource
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from solders.keypair import Keypair
from websockets.sync.client import connect

from devnet.genesis import MINTS
from devnet.payer import Payer, fund
from tests.devnet.conftest import Start
from tests.factories.chain_nodes import ROOT, Node

SOL = 10**9
PROCESSED = {"commitment": "processed"}


def state(node: Node, payer: Payer, to: str, signatures: list[str]) -> dict:
    """Everything that a client could have looked at."""
    options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0, "commitment": "finalized"}
    return {
        "balances": [node.rpc("getBalance", wallet)["value"] for wallet in (payer.address, to)],
        "tokens": node.rpc("getTokenAccountsByOwner", to, {"mint": str(MINTS["USDC"])}, {"encoding": "jsonParsed"})["value"],
        "supply": node.rpc("getTokenSupply", str(MINTS["USDC"]))["value"],
        "history": [row | {"confirmationStatus": ""} for row in node.rpc("getSignaturesForAddress", to)],
        "transactions": [node.rpc("getTransaction", signature, options) for signature in signatures],
        "genesis": node.rpc("getGenesisHash"),
        "mints": node.rpc("lightyardMints"),
    }


def test_a_long_history_is_told_of_beside_the_line_that_says_ready(start: Start, tmp_path: Path) -> None:
    first = start("--slot-ms", "0", "--home", str(tmp_path))
    call = {"jsonrpc": "2.0", "id": 1, "method": "svm_advanceSlots", "params": [1]}
    for _ in range(2):
        assert len(first.http.post("/", json=[call] * 600).json()) == 600
    first.end(signal.SIGKILL)
    status, errors = start("--slot-ms", "0", "--home", str(tmp_path)).end()
    assert (status, errors) == (0, "devnet: 1000 records replayed ...\n")


def test_nobody_there_to_be_told_that_it_is_ready_ends_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "devnet", "--port", "0"]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        os.close(writer)
        try:
            assert process.wait(20) != 0
        finally:
            process.kill()


def test_kill_9_loses_nothing_that_landed(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = start("--slot-ms", "0", "--home", str(home))
    payer, to = Payer(first.url), str(Keypair().pubkey())
    payer.airdrop(10 * SOL)
    payer.mint("5", "USDC")
    signatures = [payer.pay(to, SOL, "order:1"), payer.pay_token(to, 1_500_000, str(MINTS["USDC"]), 6, "order:2")]
    failing = payer.sign_payment(to, 1000 * SOL, "order:3")
    signatures.append(payer.send_signed(failing, skip_preflight=True))
    unsent = payer.sign_payment(to, SOL, "order:4")
    first.pass_slots(33)
    before, slot = state(first, payer, to, signatures), first.rpc("getSlot", PROCESSED)
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL

    second = start("--slot-ms", "0", "--home", str(home))
    assert state(second, payer, to, signatures) == before
    assert before["transactions"][2]["meta"]["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert second.rpc("getSlot", PROCESSED) > slot
    late = Payer(second.url, payer.keypair)
    assert late.send_signed(failing, skip_preflight=True) == signatures[2]
    late.send_signed(unsent)  # signed before the crash; its block hash is still good
    second.pass_slots(33)
    assert second.rpc("getBalance", to)["value"] == 2 * SOL
    assert [row["memo"] for row in second.rpc("getSignaturesForAddress", to, {"limit": 1})] == ["[7] order:4"]


def test_a_journal_cut_in_its_last_line_goes_on(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    wallet = str(Keypair().pubkey())
    first = start("--slot-ms", "0", "--home", str(home))
    for _ in range(2):
        first.rpc("requestAirdrop", wallet, SOL)
    first.end(signal.SIGKILL)
    journal = home / "chain.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])

    second = start("--slot-ms", "0", "--home", str(home))
    assert second.rpc("getBalance", wallet, PROCESSED)["value"] == SOL
    second.rpc("requestAirdrop", wallet, 5 * SOL)
    second.end(signal.SIGKILL)
    assert all(json.loads(line) for line in journal.read_text().splitlines())

    third = start("--slot-ms", "0", "--home", str(home))
    assert third.rpc("getBalance", wallet, PROCESSED)["value"] == 6 * SOL


def test_a_full_disk_ends_it_and_nothing_that_was_answered_is_lost(start: Start, tmp_path: Path) -> None:
    home, wallet = tmp_path / "home", str(Keypair().pubkey())
    node = start("--slot-ms", "0", "--home", str(home))
    node.rpc("requestAirdrop", wallet, SOL)
    limit = (home / "chain.jsonl").stat().st_size + 50  # room for a part of the next record
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(httpx.TransportError):
        node.rpc("requestAirdrop", wallet, SOL)
    status, errors = node.end()
    assert status == 1 and "make room" in errors
    again = start("--slot-ms", "0", "--home", str(home))
    assert again.rpc("getBalance", wallet, PROCESSED)["value"] == SOL


def test_slots_go_on_over_a_restart_and_never_back(start: Start, tmp_path: Path) -> None:
    options = ("--slot-ms", "10", "--home", str(tmp_path / "home"))
    first = start(*options)
    first.pass_slots(5_000)
    first.rpc("requestAirdrop", str(Keypair().pubkey()), SOL)
    slot = first.rpc("getSlot", PROCESSED)
    first.end(signal.SIGKILL)
    second = start(*options)
    assert second.rpc("getSlot", PROCESSED) > slot
    assert second.rpc("getBlockTime", slot) <= second.rpc("getBlockTime", second.rpc("getSlot", PROCESSED))


def spoil_middle(home: Path) -> None:
    lines = (home / "chain.jsonl").read_text().splitlines()
    (home / "chain.jsonl").write_text("\n".join([lines[0], lines[1][:-5], *lines[2:]]) + "\n")


def swap_genesis(home: Path) -> None:
    (home / "genesis.json").write_text(json.dumps({"seed": "ab" * 32}))


def change_a_verdict(home: Path) -> None:
    text = (home / "chain.jsonl").read_text()
    (home / "chain.jsonl").write_text(text.replace('"error": null', '"error": "AccountInUse"', 1))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(spoil_middle, "line 2"), (swap_genesis, "genesis.json"), (change_a_verdict, "runs otherwise")],
)
def test_a_home_that_was_tampered_with_is_refused(start: Start, tmp_path: Path, spoil, word: str) -> None:
    home = tmp_path / "home"
    node = start("--slot-ms", "0", "--home", str(home))
    for _ in range(3):
        node.rpc("requestAirdrop", str(Keypair().pubkey()), SOL)
    node.end(signal.SIGKILL)
    spoil(home)
    with pytest.raises(RuntimeError, match=word) as refused:
        Node("--slot-ms", "0", "--home", str(home))
    assert "empty --home" in str(refused.value) and "Traceback" not in str(refused.value)


def test_the_home_tells_the_mints_and_keeps_the_keys_to_itself(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    node = start("--slot-ms", "0", "--home", str(home))
    assert json.loads((home / "mints.json").read_text()) == node.rpc("lightyardMints")
    authority = Keypair.from_json((home / "mint-authority.json").read_text())
    info = node.rpc("getAccountInfo", str(MINTS["RENDER"]), {"encoding": "jsonParsed"})["value"]["data"]["parsed"]["info"]
    assert info["mintAuthority"] == str(authority.pubkey()) and info["decimals"] == 8
    assert {(home / name).stat().st_mode & 0o077 for name in ("genesis.json", "mint-authority.json")} == {0}
    other = start("--slot-ms", "0", "--home", str(tmp_path / "other"))
    assert other.rpc("lightyardMints") == node.rpc("lightyardMints")
    assert other.rpc("getGenesisHash") != node.rpc("getGenesisHash")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_clients_on_the_line(start: Start, number: int) -> None:
    node = start("--slot-ms", "10")
    node.rpc("getHealth")
    with connect(node.socket_url, close_timeout=0.1) as socket:
        socket.send('{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}')
        socket.recv(10)
        assert node.end(number) == (0, "")


def test_a_taken_port_is_named(start: Start) -> None:
    node = start("--slot-ms", "0")
    for port in (node.port, node.port - 1):  # the second finds its websocket's port taken
        with pytest.raises(RuntimeError, match="(?i)address already in use") as refused:
            Node("--slot-ms", "0", port=port)
        assert "--port" in str(refused.value) and "Traceback" not in str(refused.value)


def test_help_and_wrong_options() -> None:
    def call(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "devnet", *options]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)

    told = call("--help")
    assert told.returncode == 0 and "README" in told.stdout and "--blockhash-blocks" in told.stdout
    for wrong in (("--port", "70000"), ("--slot-ms", "-1"), ("--blockhash-blocks", "0"), ("--port", "x")):
        refused = call(*wrong)
        assert refused.returncode == 2 and wrong[0] in refused.stderr


def test_whole_units_become_minor_ones_exactly(node: Node) -> None:
    wallet = str(Keypair().pubkey())
    assert fund(node.http, wallet, Decimal("1.00000001"), "RENDER")["amount"] == "100000001"
    for amount, asset in (("0.0000001", "USDC"), ("0", "USDC"), ("-1", "USDC"), ("NaN", "USDC"), ("1e40", "USDC"), ("1", "SOL")):
        with pytest.raises(ValueError):
            fund(node.http, wallet, Decimal(amount), asset)
