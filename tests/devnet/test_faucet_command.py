"""`lightyard faucet`, against a running local chain and without one."""

import os
import subprocess

import pytest
from solders.keypair import Keypair

from devnet.genesis import MINTS
from tests.factories.chain_nodes import Node
from tests.factories.stacks import COMMAND, ROOT


def faucet(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SOLANA_RPC_URL": url}
    return subprocess.run([*COMMAND, "faucet", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_faucet_command_mints_whole_units(node: Node) -> None:
    wallet = str(Keypair().pubkey())
    done = faucet(node.url, wallet, "2.5", "usdc")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"gave 2.500000 USDC to {wallet}\nsignature ")
    node.pass_slots()
    held = node.rpc("getTokenAccountsByOwner", wallet, {"mint": str(MINTS["USDC"])}, {"encoding": "jsonParsed"})["value"]
    assert held[0]["account"]["data"]["parsed"]["info"]["tokenAmount"]["uiAmountString"] == "2.5"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["1" * 32, "much", "USDC"], "is not an amount"),
        (["1" * 32, "-1", "USDC"], "No such option"),
        (["1" * 32, "0", "USDC"], "more than 0"),
        (["1" * 32, "0.0000001", "USDC"], "6 decimals"),
        (["1" * 32, "1", "DOGE"], "usdc"),
        (["nobody", "1", "USDC"], "not a Solana address"),
    ],
)
def test_the_faucet_command_says_what_is_wrong(node: Node, arguments: list[str], word: str) -> None:
    done = faucet(node.url, *arguments)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert word in done.stderr and "Traceback" not in done.stderr


def test_the_faucet_command_without_a_chain() -> None:
    done = faucet("http://127.0.0.1:1", "1" * 32, "1", "USDC")
    assert done.returncode == 1 and "http://127.0.0.1:1" in done.stderr and "Traceback" not in done.stderr
