"""The local TON as a program: its lock files, its contracts' sources, an unmodified client, its end."""

import json
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from devnet.ton import program
from devnet.ton.wallets import WalletV4
from tests.factories import npm
from tests.factories.missing import go_without
from tests.factories.ton import TonChain

CLIENT = Path(__file__).parent / "ton_js"
CONTRACTS = program.ROOT / "devnet" / "ton" / "contracts"
RUN_SECONDS = 60


@pytest.mark.parametrize("folder", [CLIENT, CONTRACTS / "compiler"])
def test_the_lock_files_of_npm_name_no_registry(folder: Path) -> None:
    lock = json.loads((folder / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages and all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_the_lock_file_of_python_is_whole_and_names_no_registry() -> None:
    lines = (program.ROOT / "devnet" / "ton" / "requirements.lock").read_text().splitlines()
    assert "--hash=sha256:" in lines[1] and not [line for line in lines if "://" in line or line.startswith("-")]


def test_the_masters_are_where_the_stack_says(ton_chain: TonChain) -> None:
    masters = {asset: found["master"] for asset, found in ton_chain.dev("jettons").items()}
    assert masters == program.MASTERS | {"FAKE": masters["FAKE"]} and masters["FAKE"] != masters["USDT"]


def test_the_hubs_wallet_is_the_test_wallet_of_that_name() -> None:
    assert program.HUB_WALLET == WalletV4.named("hub").address.to_str(is_bounceable=False)


@pytest.mark.system
@pytest.mark.timeout(npm.INSTALL_SECONDS + RUN_SECONDS + 30)
def test_an_unmodified_client_deploys_pays_and_reads_back() -> None:
    folder = npm.install(CLIENT, "@ton/ton")
    chain = TonChain(block_ms=50)
    try:
        done = subprocess.run(["node", "client.mjs", chain.url], cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "ok"
    finally:
        assert chain.end() == (0, "")


@pytest.mark.system
@pytest.mark.timeout(npm.INSTALL_SECONDS + RUN_SECONDS + 30)
def test_the_contracts_are_what_their_sources_compile_to(tmp_path: Path) -> None:
    folder = npm.install(CONTRACTS / "compiler", "the compiler of the jetton's contracts")
    done = subprocess.run(["node", "compile.mjs", str(tmp_path)], cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stderr
    for name in ("jetton-master.boc", "jetton-wallet.boc"):
        assert (tmp_path / name).read_bytes() == (CONTRACTS / name).read_bytes()


def ask_until_gone(url: str) -> None:
    """Each request is a connection, so a thread of the server."""
    while True:
        try:
            urllib.request.urlopen(f"{url}/getMasterchainInfo", timeout=10).read()
        except (urllib.error.URLError, OSError):
            return


@pytest.mark.parametrize("round_number", range(3))
def test_a_busy_chain_ends_at_one_sigterm(round_number: int) -> None:
    chain = TonChain()
    clients = [threading.Thread(target=ask_until_gone, args=(chain.api_url,)) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        assert chain.end() == (0, "")
    finally:
        chain.end(signal.SIGKILL)
        for client in clients:
            client.join()


def test_a_taken_port_is_said(ton_chain: TonChain) -> None:
    command = program.command(ton_chain.port, None, 0)
    if command is None:
        go_without("the local TON is not installed (`make ton-chain`)")
    assert command is not None
    refused = subprocess.run(command, cwd=program.ROOT, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert refused.returncode == 1 and "Choose another --port" in refused.stderr and "Traceback" not in refused.stderr
