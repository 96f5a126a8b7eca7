"""The faucet and the database commands against a stack that runs."""

import json
from pathlib import Path

import httpx
from solders.keypair import Keypair

from tests.factories.stacks import RunningStack, lightyard


def test_commands_find_the_stack_of_their_home(home: Path) -> None:
    stack = RunningStack(home).wait_ready()
    wallet = str(Keypair().pubkey())
    given = lightyard("faucet", wallet, "2.5", "SOL", "--json", home=home)
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout)["amount"] == "2.500000000"
    ask = {"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": [wallet, {"commitment": "processed"}]}
    assert httpx.post(stack.endpoints["solana_rpc_url"], json=ask).json()["result"]["value"] == 2_500_000_000
    address = lightyard("wallet", home=home).stdout.strip()
    paid = json.loads(lightyard("pay", wallet, "0.25", "a memo", "--json", home=home).stdout)
    ask = {"jsonrpc": "2.0", "id": 1, "method": "getSignaturesForAddress", "params": [address]}
    newest = httpx.post(stack.endpoints["solana_rpc_url"], json=ask).json()["result"][0]
    assert (newest["signature"], newest["memo"]) == (paid["signature"], "[6] a memo")
    refused = lightyard("pay", "nowhere", "1", "m", home=home)
    assert (refused.returncode, refused.stdout) == (2, "") and "not a Solana address" in refused.stderr
    operator = json.loads(lightyard("keys", "list", "--json", home=home).stdout)
    assert [row["roles"] for row in operator] == [["client", "provider", "finance", "operator"]]
    assert stack.endpoints["operator_api_key"].startswith(operator[0]["prefix"])
    assert lightyard("invariants", home=home).stdout == "the books balance\n"
    assert stack.end() == 0
