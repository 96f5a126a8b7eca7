"""`lightyard faucet` on the local TON, and where there is none."""

import os
import subprocess

import pytest

from tests.factories.stacks import COMMAND, ROOT
from tests.factories.ton import TON, TonChain


def faucet(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TON_API_URL": url}
    return subprocess.run([*COMMAND, "faucet", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_it_gives_ton_and_jettons(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice")
    done = faucet(ton_chain.api_url, alice, "2.5", "ton")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"gave 2.500000000 TON to {alice}\nmessage ")
    ton_chain.advance()
    assert ton_chain.balance(alice) == 25 * TON // 10
    assert faucet(ton_chain.api_url, alice, "3", "USDT").stdout.startswith(f"gave 3.000000 USDT to {alice}\nmessage ")
    ton_chain.advance(2)
    assert ton_chain.jetton_wallet(alice)["balance"] == "3000000"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nobody", "1", "TON"], "48 characters"),
        (["EQ" + "A" * 46, "1", "TON"], "checksum"),
        (["1" * 32, "1", "TON"], "48 characters"),
        (["0:" + "1" * 64, "0", "TON"], "more than 0"),
        (["0:" + "1" * 64, "1.0000000001", "TON"], "9 decimals"),
        (["0:" + "1" * 64, "1", "SOL"], "not a Solana address"),
        (["0:" + "1" * 64, "1", "TON"], "does not answer"),
    ],
)
def test_it_says_what_is_wrong(arguments: list[str], word: str) -> None:
    done = faucet("http://127.0.0.1:1/api/v2", *arguments)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert word in done.stderr and "Traceback" not in done.stderr
