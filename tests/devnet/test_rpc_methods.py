"""The JSON-RPC door: what each method answers, and that nothing a client sends takes the node down."""

import base64
import socket
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from devnet import base58
from devnet.genesis import DECIMALS
from devnet.payer import Payer, memo
from devnet.tokens import TOKEN_PROGRAM, associated_address
from tests.factories.chain_nodes import Node

SOL = 10**9
ANY = str(Keypair.from_seed(bytes(32)).pubkey())  # the same in every process: it names tests
PROCESSED, CONFIRMED = {"commitment": "processed"}, {"commitment": "confirmed"}


@pytest.fixture
def payer(node: Node) -> Payer:
    wallet = Payer(node.url)
    wallet.airdrop(10 * SOL)
    return wallet


def test_the_cluster_tells_of_itself(node: Node) -> None:
    assert node.rpc("getHealth") == "ok"
    assert node.rpc("getVersion")["solana-core"]
    assert len(base58.decode(node.rpc("getGenesisHash"))) == 32
    slot = node.rpc("getSlot", PROCESSED)
    assert node.rpc("getSlot", CONFIRMED) == slot - 1
    assert node.rpc("getSlot") == node.rpc("getBlockHeight") == slot - 32
    info = node.rpc("getEpochInfo", PROCESSED)
    assert (info["absoluteSlot"], info["blockHeight"], info["slotsInEpoch"]) == (slot, slot, 432_000)
    fees = node.rpc("getRecentPrioritizationFees", [ANY])
    assert fees[-1] == {"slot": slot, "prioritizationFee": 0} and len(fees) <= 150
    assert node.rpc("getMinimumBalanceForRentExemption", 0) == 890_880
    node.pass_slots(3)
    assert node.rpc("getSlot", PROCESSED) == slot + 3


def test_a_balance_is_seen_as_its_commitment_says(node: Node) -> None:
    wallet = str(Keypair().pubkey())
    node.rpc("requestAirdrop", wallet, SOL)
    assert [node.rpc("getBalance", wallet, {"commitment": word})["value"] for word in ("processed", "confirmed")] == [SOL, 0]
    node.pass_slots(1)
    assert node.rpc("getBalance", wallet, CONFIRMED)["value"] == SOL
    node.rpc("requestAirdrop", wallet, SOL)
    node.pass_slots(30)
    assert node.rpc("getBalance", wallet)["value"] == 0
    node.pass_slots(1)
    assert node.rpc("getBalance", wallet)["value"] == SOL
    node.pass_slots(1)
    assert node.rpc("getBalance", wallet)["value"] == 2 * SOL
    assert node.rpc("getAccountInfo", wallet)["value"]["lamports"] == 2 * SOL


def test_equal_airdrops_in_one_slot_are_two(node: Node) -> None:
    wallet = str(Keypair().pubkey())
    signatures = {node.rpc("requestAirdrop", wallet, SOL) for _ in range(3)}
    assert len(signatures) == 3
    assert node.rpc("getBalance", wallet, PROCESSED)["value"] == 3 * SOL
    node.pass_slots()
    shown = node.rpc("getTransaction", signatures.pop(), "jsonParsed")
    assert "version" not in shown and shown["meta"]["postBalances"][1] in (SOL, 2 * SOL, 3 * SOL)


def test_accounts_in_every_encoding(node: Node, payer: Payer) -> None:
    mint = payer.mint("2.5", "USDC")
    node.pass_slots()
    account = str(associated_address(payer.keypair.pubkey(), Pubkey.from_string(mint)))
    raw = base64.b64decode(node.rpc("getAccountInfo", account, {"encoding": "base64"})["value"]["data"][0])
    assert len(raw) == 165 and raw[:32] == bytes(Pubkey.from_string(mint))
    part = {"offset": 64, "length": 8}
    text, name = node.rpc("getAccountInfo", account, {"encoding": "base58", "dataSlice": part})["value"]["data"]
    assert name == "base58" and int.from_bytes(base58.decode(text), "little") == 2_500_000
    assert "base58" in node.refusal("getAccountInfo", account, {"encoding": "base58"})["message"].replace(" ", "").lower()
    parsed = node.rpc("getAccountInfo", account, {"encoding": "jsonParsed"})["value"]
    assert parsed["owner"] == str(TOKEN_PROGRAM) and parsed["data"]["program"] == "spl-token"
    info = parsed["data"]["parsed"]["info"]
    assert (info["owner"], info["mint"], info["state"]) == (payer.address, mint, "initialized")
    assert info["tokenAmount"] == {"amount": "2500000", "decimals": 6, "uiAmount": 2.5, "uiAmountString": "2.5"}
    both = node.rpc("getMultipleAccounts", [mint, ANY], {"encoding": "jsonParsed"})["value"]
    assert both[0]["data"]["parsed"]["type"] == "mint" and both[0]["data"]["parsed"]["info"]["decimals"] == 6
    assert both[1] is None and node.rpc("getAccountInfo", ANY)["value"] is None


def test_the_test_mints_and_their_faucet(node: Node) -> None:
    mints = node.rpc("lightyardMints")
    assert mints.keys() == {"USDC", "USDT", "RENDER"}
    wallet = str(Keypair().pubkey())
    for asset, mint in mints.items():
        made = node.rpc("lightyardFaucet", wallet, 150, asset)
        node.rpc("lightyardFaucet", wallet, "150", mint)
        assert made["mint"] == mint and made["amount"] == "150"
        balance = node.rpc("getTokenAccountBalance", made["tokenAccount"], PROCESSED)["value"]
        assert (balance["amount"], balance["decimals"]) == ("300", DECIMALS[asset])
    node.pass_slots()
    rows = node.rpc("getTokenAccountsByOwner", wallet, {"programId": str(TOKEN_PROGRAM)}, {"encoding": "jsonParsed"})["value"]
    assert {row["account"]["data"]["parsed"]["info"]["mint"] for row in rows} == set(mints.values())
    one = node.rpc("getTokenAccountsByOwner", wallet, {"mint": mints["USDT"]}, {"encoding": "base64"})["value"]
    usdt = associated_address(Pubkey.from_string(wallet), Pubkey.from_string(mints["USDT"]))
    assert [row["pubkey"] for row in one] == [str(usdt)]
    assert int(node.rpc("getTokenSupply", mints["RENDER"])["value"]["amount"]) >= 300
    for wrong in ([wallet, 0, "USDC"], [wallet, 1.5, "USDC"], [wallet, "1e3", "USDC"], [wallet, 1, "DOGE"], ["x", 1, "USDC"]):
        assert node.refusal("lightyardFaucet", *wrong)["code"] == -32602


def test_history_of_an_address_by_pages(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    sent = [payer.pay(to, SOL // 10, f"n {number}") for number in range(5)]
    node.pass_slots()
    newest_first = sent[::-1]

    def page(**options: Any) -> list[str]:
        return [row["signature"] for row in node.rpc("getSignaturesForAddress", to, options)]

    assert page() == newest_first
    assert page(limit=2) == newest_first[:2]
    assert page(limit=2, before=newest_first[1]) == newest_first[2:4]
    assert page(until=newest_first[3]) == newest_first[:3]
    assert page(before=newest_first[0], until=newest_first[4]) == newest_first[1:4]
    assert page(before=payer.sign("never sent")) == []
    row = node.rpc("getSignaturesForAddress", to, {"limit": 1})[0]
    assert row["memo"] == "[3] n 4" and row["err"] is None and row["confirmationStatus"] == "finalized" and row["blockTime"]
    assert node.refusal("getSignaturesForAddress", to, {"limit": 1001})["code"] == -32602
    assert node.refusal("getSignaturesForAddress", to, {"limit": 0})["code"] == -32602


def test_memos_are_joined_as_a_node_does(node: Node, payer: Payer) -> None:
    payer.send([memo("one"), memo("zwö")])
    node.pass_slots()
    assert node.rpc("getSignaturesForAddress", payer.address)[0]["memo"] == "[3] one; [4] zwö"


def test_a_landed_transaction_climbs_to_finalized(node: Node, payer: Payer) -> None:
    signature = payer.pay(Payer(node.url).address, SOL, "x")

    def seen() -> tuple[Any, ...]:
        status = node.rpc("getSignatureStatuses", [signature])["value"][0]
        shown = [node.rpc("getTransaction", signature, {**word, "maxSupportedTransactionVersion": 0}) for word in ({}, CONFIRMED)]
        return status["confirmationStatus"], status["confirmations"], *(found is not None for found in shown)

    assert seen() == ("processed", 0, False, False)
    node.pass_slots(1)
    assert seen() == ("confirmed", 1, False, True)
    node.pass_slots(30)
    assert seen() == ("confirmed", 31, False, True)
    node.pass_slots(1)
    assert seen() == ("finalized", None, True, True)
    assert node.refusal("getTransaction", signature, PROCESSED)["code"] == -32602
    assert node.refusal("getTransaction", signature)["code"] == -32015
    node.pass_slots(200)
    assert node.rpc("getSignatureStatuses", [signature])["value"] == [None]
    found = node.rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"][0]
    assert found["confirmationStatus"] == "finalized"


WRONG = [
    ("getBalance", [], -32602),
    ("getBalance", ["not a key"], -32602),
    ("getBalance", [5], -32602),
    ("getBalance", [ANY, {"commitment": "max"}], -32602),
    ("getBalance", [ANY, "confirmed"], -32602),
    ("getBalance", [ANY, {}, 1], -32602),
    ("getBalance", [ANY, {"minContextSlot": 10**12}], -32016),
    ("getAccountInfo", [ANY, {"encoding": "hex"}], -32602),
    ("getAccountInfo", [ANY, {"encoding": "base64", "dataSlice": {"offset": 1}}], -32602),
    ("getMultipleAccounts", [[ANY] * 101], -32602),
    ("getMultipleAccounts", [ANY], -32602),
    ("getTokenAccountBalance", [ANY], -32602),
    ("getTokenSupply", [ANY], -32602),
    ("getTokenAccountsByOwner", [ANY, {}], -32602),
    ("getTokenAccountsByOwner", [ANY, {"mint": ANY}], -32602),
    ("getTokenAccountsByOwner", [ANY, {"programId": ANY}], -32602),
    ("getTransaction", ["short"], -32602),
    ("getSignatureStatuses", [["1" * 64] * 257], -32602),
    ("getSignatureStatuses", ["1" * 64], -32602),
    ("getBlockTime", [10**15], -32004),
    ("getBlockTime", [True], -32602),
    ("requestAirdrop", [ANY, -1], -32602),
    ("requestAirdrop", [ANY, 1.5], -32602),
    ("requestAirdrop", [ANY, 2**64], -32602),
    ("requestAirdrop", [ANY, 2**64 - 1], -32002),
    ("sendTransaction", ["@@", {"encoding": "base64"}], -32602),
    ("sendTransaction", ["0OIl"], -32602),
    ("sendTransaction", ["AAAA", {"encoding": "base64"}], -32602),
    ("sendTransaction", ["A" * 4000, {"encoding": "base64"}], -32602),
    ("sendTransaction", ["1" * 4000], -32602),
    ("sendTransaction", ["AAAA", {"encoding": "hex"}], -32602),
    ("simulateTransaction", ["AAAA", {"encoding": "base64"}], -32602),
    ("getFeeForMessage", ["AAAA"], -32602),
    ("isBlockhashValid", ["?"], -32602),
    ("getMinimumBalanceForRentExemption", [10**12], -32602),
    ("svm_advanceSlots", ["many"], -32602),
    ("getBlocksWithLimit", [1], -32601),
    ("__init__", [], -32601),
    ("_chain", [], -32601),
]


@pytest.mark.parametrize(("method", "params", "code"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_requests_are_refused_with_their_code(node: Node, method: str, params: list[Any], code: int) -> None:
    error = node.refusal(method, *params)
    assert error["code"] == code and error["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getHealth", "params": {"a": 1}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": 7}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "getBlockTime", "params": [1' + b"0" * 5000 + b"]}", -32700),
    ],
)
def test_what_is_no_request_is_refused(node: Node, body: bytes, code: int) -> None:
    answer = node.http.post("/", content=body).json()
    assert answer["error"]["code"] == code


def test_a_batch_is_answered_item_by_item_and_notifications_not(node: Node) -> None:
    items: list[Any] = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": 2, "method": "nothing"},
        "garbage",
    ]
    answers = node.http.post("/", json=items).json()
    assert [answer["id"] for answer in answers] == ["a", 2, None]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32601, -32600]
    assert node.http.post("/", json={"jsonrpc": "2.0", "method": "getHealth"}).content == b""


def test_the_http_door_itself(node: Node) -> None:
    assert node.http.get("/health").text == "ok"
    assert node.http.get("/").status_code == 405
    allowed = node.http.options("/", headers={"Access-Control-Request-Headers": "content-type,solana-client"})
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert allowed.headers["access-control-allow-headers"] == "content-type,solana-client"
    for head, code in (("Content-Length: 9999999999", b"413"), ("X-None: 1", b"411"), ("Content-Length: -5", b"411")):
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as line:
            line.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
            assert line.recv(100).split()[1] == code
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as line:
        line.sendall(b"\x16\x03\x01 this is no http\r\n\r\n")
        line.recv(100)
    assert node.rpc("getHealth") == "ok"
