"""What lands and what does not: block hashes that expire, nonces, lookup tables, rent, doubles, dropped transactions."""

import base64
from collections.abc import Sequence

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    InitializeNonceAccountParams,
    advance_nonce_account,
    create_account,
    initialize_nonce_account,
)
from solders.transaction import Transaction

from devnet import base58
from devnet.payer import Payer, memo
from tests.factories.chain_nodes import Node
from tests.factories.lookup_tables import pay_by_lookup_table

SOL = 10**9
PROCESSED = {"commitment": "processed"}
NONCE_BYTES = 80


@pytest.fixture
def payer(node: Node) -> Payer:
    wallet = Payer(node.url)
    wallet.airdrop(100 * SOL)
    return wallet


def latest(node: Node, commitment: str = "processed") -> tuple[str, int]:
    value = node.rpc("getLatestBlockhash", {"commitment": commitment})["value"]
    return value["blockhash"], value["lastValidBlockHeight"]


def signed(payer: Payer, instructions: Sequence[Instruction], blockhash: str) -> str:
    message = Message.new_with_blockhash(list(instructions), payer.keypair.pubkey(), Hash.from_string(blockhash))
    return base64.b64encode(bytes(Transaction([payer.keypair], message, Hash.from_string(blockhash)))).decode()


def send(node: Node, transaction: str, **options: object) -> str:
    return str(node.rpc("sendTransaction", transaction, {"encoding": "base64", **options}))


def status(node: Node, signature: str) -> dict | None:
    return node.rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"][0]  # type: ignore[no-any-return]


def balance(node: Node, address: str) -> int:
    return int(node.rpc("getBalance", address, PROCESSED)["value"])


def test_a_block_hash_is_good_for_150_blocks_and_not_one_more(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    blockhash, last = latest(node)
    assert last == node.rpc("getBlockHeight", PROCESSED) + 150
    first, second = (signed(payer, [payer.transfer(to, SOL + number)], blockhash) for number in range(2))
    node.pass_slots(150)
    assert node.rpc("getBlockHeight", PROCESSED) == last
    assert node.rpc("isBlockhashValid", blockhash, PROCESSED)["value"] is True
    assert status(node, send(node, first)) is not None
    node.pass_slots(1)
    assert node.rpc("isBlockhashValid", blockhash, PROCESSED)["value"] is False
    error = node.refusal("sendTransaction", second, {"encoding": "base64"})
    assert error["code"] == -32002 and "Blockhash not found" in error["message"]
    assert error["data"]["err"] == "BlockhashNotFound"
    assert balance(node, to) == SOL


def test_an_expired_transaction_without_preflight_is_answered_and_never_lands(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    late = signed(payer, [payer.transfer(to, SOL)], latest(node)[0])
    node.pass_slots(151)
    signature = send(node, late, skipPreflight=True)
    node.pass_slots(50)
    assert status(node, signature) is None and balance(node, to) == 0


def test_an_older_commitment_gives_an_older_hash(node: Node) -> None:
    newest, finalized = latest(node)[1], latest(node, "finalized")[1]
    assert newest - finalized == 32
    made_up = str(Keypair().pubkey())
    assert node.rpc("isBlockhashValid", made_up, PROCESSED)["value"] is False


def test_the_same_bytes_again_change_nothing(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    transaction = signed(payer, [payer.transfer(to, SOL)], latest(node)[0])
    sent = {send(node, transaction), send(node, transaction), send(node, transaction, skipPreflight=True)}
    node.pass_slots(500)
    sent.add(send(node, transaction, skipPreflight=True))
    assert len(sent) == 1 and balance(node, to) == SOL


def test_base58_is_the_default_encoding(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    raw = base64.b64decode(signed(payer, [payer.transfer(to, SOL)], latest(node)[0]))
    assert status(node, node.rpc("sendTransaction", base58.encode(raw))) is not None
    assert balance(node, to) == SOL


def test_a_wrong_signature_is_refused_or_dropped(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    raw = bytearray(base64.b64decode(signed(payer, [payer.transfer(to, SOL)], latest(node)[0])))
    raw[10] ^= 1
    forged = base64.b64encode(raw).decode()
    assert node.refusal("sendTransaction", forged, {"encoding": "base64"})["code"] == -32003
    assert status(node, send(node, forged, skipPreflight=True)) is None
    assert node.refusal("simulateTransaction", forged, {"encoding": "base64", "sigVerify": True})["code"] == -32003
    assert node.rpc("simulateTransaction", forged, {"encoding": "base64"})["value"]["err"] is None
    assert balance(node, to) == 0


def test_a_failed_transaction_lands_with_its_error_and_costs_its_fee(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    before = balance(node, payer.address)
    transaction = signed(payer, [payer.transfer(to, SOL), payer.transfer(to, 1000 * SOL)], latest(node)[0])
    error = node.refusal("sendTransaction", transaction, {"encoding": "base64"})
    assert error["data"]["err"] == {"InstructionError": [1, {"Custom": 1}]} and error["data"]["logs"]
    signature = send(node, transaction, skipPreflight=True)
    assert status(node, signature)["err"] == {"InstructionError": [1, {"Custom": 1}]}  # type: ignore[index]
    assert (balance(node, to), balance(node, payer.address)) == (0, before - 5000)


def test_nobody_is_left_below_the_rent_exempt_minimum(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    error = node.refusal("sendTransaction", signed(payer, [payer.transfer(to, 890_879)], latest(node)[0]), {"encoding": "base64"})
    assert error["data"]["err"] == {"InsufficientFundsForRent": {"account_index": 1}}
    before = balance(node, payer.address)
    poor = signed(payer, [payer.transfer(to, 890_878)], latest(node)[0])
    signature = send(node, poor, skipPreflight=True)
    assert status(node, signature)["err"] == {"InsufficientFundsForRent": {"account_index": 1}}  # type: ignore[index]
    assert (balance(node, to), balance(node, payer.address)) == (0, before - 5000)
    send(node, signed(payer, [payer.transfer(to, 890_880)], latest(node)[0]))
    send(node, signed(payer, [payer.transfer(to, 1)], latest(node)[0]))
    assert balance(node, to) == 890_881


def test_simulation_changes_nothing_and_shows_what_would_be(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    transaction = signed(payer, [payer.transfer(to, SOL)], latest(node)[0])
    accounts = {"encoding": "base64", "addresses": [to]}
    told = node.rpc("simulateTransaction", transaction, {"encoding": "base64", "accounts": accounts})["value"]
    assert told["err"] is None and told["accounts"][0]["lamports"] == SOL and told["unitsConsumed"] > 0
    assert balance(node, to) == 0
    node.pass_slots(151)
    assert node.rpc("simulateTransaction", transaction, {"encoding": "base64"})["value"]["err"] == "BlockhashNotFound"
    renewed = node.rpc("simulateTransaction", transaction, {"encoding": "base64", "replaceRecentBlockhash": True})["value"]
    assert renewed["err"] is None and renewed["replacementBlockhash"]["blockhash"] == latest(node)[0]


def test_dropped_transactions_are_answered_and_can_be_sent_again(node: Node, payer: Payer) -> None:
    to = Payer(node.url).address
    transaction = signed(payer, [payer.transfer(to, SOL)], latest(node)[0])
    node.rpc("svm_dropTransactions", 1)
    signature = send(node, transaction)
    node.pass_slots(40)
    assert status(node, signature) is None
    assert send(node, transaction) == signature
    assert status(node, signature) is not None and balance(node, to) == SOL


def test_a_durable_nonce_outlives_block_hashes_and_is_spent_once(node: Node, payer: Payer) -> None:
    nonce, to = Keypair(), Payer(node.url).address
    mine = payer.keypair.pubkey()
    system = Pubkey(bytes(32))
    made = CreateAccountParams(from_pubkey=mine, to_pubkey=nonce.pubkey(), lamports=SOL, space=NONCE_BYTES, owner=system)
    begun = InitializeNonceAccountParams(nonce_pubkey=nonce.pubkey(), authority=mine)
    payer.send([create_account(made), initialize_nonce_account(begun)], (nonce,))

    def value() -> str:
        data = node.rpc("getAccountInfo", str(nonce.pubkey()), {"encoding": "base64", **PROCESSED})["value"]["data"][0]
        return str(Hash.from_bytes(base64.b64decode(data)[40:72]))

    stored = value()
    advance = advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=mine))
    first, second = (signed(payer, [advance, payer.transfer(to, SOL + number)], stored) for number in range(2))
    node.pass_slots(10_000)
    send(node, first)
    assert balance(node, to) == SOL and value() != stored
    assert node.refusal("sendTransaction", second, {"encoding": "base64"})["data"]["err"] == "BlockhashNotFound"
    assert balance(node, to) == SOL


def test_addresses_from_a_lookup_table(node: Node, payer: Payer) -> None:
    to = Keypair().pubkey()
    signature = pay_by_lookup_table(node, payer, to, SOL, "order:6")
    node.pass_slots()
    assert balance(node, str(to)) == SOL
    options = {"encoding": "json", "maxSupportedTransactionVersion": 0}
    shown = node.rpc("getTransaction", signature, options)
    assert shown["meta"]["loadedAddresses"] == {"writable": [str(to)], "readonly": []}
    assert shown["meta"]["postBalances"][-1] == SOL and shown["version"] == 0
    parsed = node.rpc("getTransaction", signature, {**options, "encoding": "jsonParsed"})["transaction"]["message"]
    assert parsed["accountKeys"][-1] == {"pubkey": str(to), "signer": False, "writable": True, "source": "lookupTable"}
    assert parsed["instructions"][0]["parsed"]["info"]["destination"] == str(to)
    assert [row["signature"] for row in node.rpc("getSignaturesForAddress", str(to))] == [signature]


def test_token_balances_before_and_after_and_inner_instructions(node: Node, payer: Payer) -> None:
    mint = payer.mint("5", "USDC")
    to = Payer(node.url).address
    signature = payer.pay_token(to, 1_000_000, mint, 6, "order:7")
    node.pass_slots()
    shown = node.rpc("getTransaction", signature, {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0})
    before, after = (
        {row["owner"]: row["uiTokenAmount"]["amount"] for row in shown["meta"][name]}
        for name in ("preTokenBalances", "postTokenBalances")
    )
    assert before == {payer.address: "5000000"}
    assert after == {payer.address: "4000000", to: "1000000"}
    inner = shown["meta"]["innerInstructions"][0]
    assert inner["index"] == 0
    assert "createAccount" in [item["parsed"]["type"] for item in inner["instructions"]]
    assert {item["stackHeight"] for item in inner["instructions"]} == {2}
    plain = node.rpc("getTransaction", signature, {"encoding": "json", "maxSupportedTransactionVersion": 0})
    called = plain["meta"]["innerInstructions"][0]["instructions"][0]
    assert called.keys() == {"programIdIndex", "accounts", "data", "stackHeight"}
    assert plain["transaction"]["message"]["header"]["numRequiredSignatures"] == 1


def test_a_reference_key_finds_the_payment(node: Node, payer: Payer) -> None:
    reference, to = Keypair().pubkey(), Payer(node.url).address
    pay = payer.transfer(to, SOL)
    marked = Instruction(pay.program_id, bytes(pay.data), [*pay.accounts, AccountMeta(reference, False, False)])
    signature = payer.send([marked, memo("order:8")])
    node.pass_slots()
    assert [row["signature"] for row in node.rpc("getSignaturesForAddress", str(reference))] == [signature]
