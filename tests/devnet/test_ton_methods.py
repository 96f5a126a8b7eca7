"""toncenter v2's shapes and refusals on the local TON."""

import base64
import socket
from typing import Any

import pytest

from tests.factories.ton import TON, TonChain

BAD_CHECKSUM = "EQ" + "A" * 46
RAW = "0:" + "12" * 32


def test_every_address_form_means_the_same(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob", TON)
    forms = ton_chain.call("detectAddress", address=bob)
    assert forms["given_type"] == "friendly_bounceable" and forms["test_only"] is False
    for form in (forms["raw_form"], forms["bounceable"]["b64"], forms["non_bounceable"]["b64url"], forms["raw_form"].upper()):
        assert ton_chain.balance(form) == TON
    assert ton_chain.call("packAddress", address=forms["raw_form"]) == bob
    assert ton_chain.call("unpackAddress", address=forms["non_bounceable"]["b64url"]) == forms["raw_form"]


@pytest.mark.parametrize("address", ["", "nobody", BAD_CHECKSUM, "0:abcd", RAW + "\n", "5:" + "1" * 64, 7, None])
def test_an_address_that_is_none_is_refused(ton_chain: TonChain, address: object) -> None:
    refused = ton_chain.refusal("getAddressInformation", address=address)
    assert (refused["code"], refused["error"]) == (416, "Incorrect address")


def test_get_post_and_json_rpc_answer_the_same(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob", TON)
    posted = ton_chain.call("getTransactions", address=bob, limit=1)
    got = ton_chain.http.get("/api/v2/getTransactions", params={"address": bob, "limit": 1}).json()
    assert got == {"ok": True, "result": posted}
    call = {"jsonrpc": "2.0", "id": "7", "method": "getTransactions", "params": {"address": bob, "limit": "1"}}
    assert ton_chain.ask("jsonRPC", **call).json() == {"ok": True, "result": posted, "jsonrpc": "2.0", "id": "7"}


def test_a_transaction_has_toncenters_fields_and_its_own_cells(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob")
    ton_chain.fund(bob, TON, "hello " * 40)
    (found,) = ton_chain.transactions(bob)
    names = {"@type", "address", "utime", "data", "transaction_id", "fee", "storage_fee", "other_fee", "in_msg", "out_msgs"}
    assert found.keys() == names and found["@type"] == "raw.transaction"
    assert found["in_msg"].keys() >= {
        "source",
        "destination",
        "value",
        "fwd_fee",
        "ihr_fee",
        "created_lt",
        "body_hash",
        "msg_data",
    }
    assert found["in_msg"]["message"] == "hello " * 40, "over three cells"
    assert base64.b64decode(found["in_msg"]["msg_data"]["text"]).decode() == "hello " * 40
    assert base64.b64decode(found["data"])[:4] == bytes.fromhex("b5ee9c72")
    assert int(found["transaction_id"]["lt"]) > int(found["in_msg"]["created_lt"])


def test_states_before_and_after_deployment(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice")
    nothing = ton_chain.call("getAddressInformation", address=alice)
    assert (nothing["state"], nothing["balance"], nothing["code"]) == ("uninitialized", "0", "")
    assert nothing["last_transaction_id"] == {"@type": "internal.transactionId", "lt": "0", "hash": "A" * 43 + "="}
    assert ton_chain.transactions(alice) == [] and ton_chain.call("getWalletInformation", address=alice)["wallet"] is False
    ton_chain.wallet("alice", 5 * TON)
    ton_chain.pay("alice", alice, TON)
    wallet = ton_chain.call("getWalletInformation", address=alice)
    assert (wallet["wallet_type"], wallet["seqno"], wallet["wallet_id"]) == ("wallet v4 r2", 1, 698983191)
    extended = ton_chain.call("getExtendedAddressInformation", address=alice)["account_state"]
    assert extended == {"@type": "wallet.v4.accountState", "wallet_id": "698983191", "seqno": 1}
    seqno = ton_chain.call("runGetMethod", address=alice, method="seqno", stack=[])
    assert seqno["exit_code"] == 0 and seqno["stack"] == [["num", "0x1"]] and seqno["gas_used"] > 0
    assert ton_chain.call("runGetMethod", address=alice, method=85143, stack=[])["stack"] == [["num", "0x1"]]
    past = ton_chain.call("getAddressInformation", address=alice, seqno=1)
    assert past["state"] == "uninitialized", "a block of before"


def test_a_get_method_that_is_not_there_and_one_of_nobody(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice", 5 * TON)
    assert ton_chain.call("runGetMethod", address=alice, method="seqno", stack=[])["exit_code"] == -13
    ton_chain.pay("alice", alice, TON)
    assert ton_chain.call("runGetMethod", address=alice, method="nothing", stack=[])["exit_code"] == 11


def test_blocks_have_their_times(ton_chain: TonChain) -> None:
    head = ton_chain.advance(5)
    before = ton_chain.call("getBlockHeader", workchain=-1, shard="-9223372036854775808", seqno=head)["gen_utime"]
    after = ton_chain.advance(1, seconds=600)
    assert 600 <= ton_chain.call("getBlockHeader", workchain=-1, seqno=after)["gen_utime"] - before < 620
    assert ton_chain.call("getConsensusBlock")["consensus_block"] == after
    assert ton_chain.refusal("getBlockHeader", workchain=-1, seqno=after + 1)["code"] == 500


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("getTransactions", {"address": RAW, "limit": 0}, 422),
        ("getTransactions", {"address": RAW, "limit": 101}, 422),
        ("getTransactions", {"address": RAW, "limit": "many"}, 422),
        ("getTransactions", {"address": RAW, "lt": 5, "hash": "short"}, 422),
        ("getTransactions", {"address": RAW, "lt": 5, "hash": "0" * 64}, 500),
        ("getAddressInformation", {"address": RAW, "seqno": 10**9}, 500),
        ("sendBoc", {}, 422),
        ("sendBoc", {"boc": "not base64!"}, 422),
        ("sendBoc", {"boc": "AAAA"}, 500),
        ("sendBoc", {"boc": "te6cckEBAQEAAgAAAEysuc0="}, 500),
        ("runGetMethod", {"address": RAW}, 422),
        ("runGetMethod", {"address": RAW, "method": "seqno", "stack": "none"}, 422),
        ("runGetMethod", {"address": RAW, "method": "seqno", "stack": [["num", "x"]]}, 422),
        ("runGetMethod", {"address": RAW, "method": "seqno", "stack": [["dict", {}]]}, 422),
        ("getBlockHeader", {"seqno": "first"}, 422),
        ("noSuchMethod", {}, 422),
    ],
)
def test_bad_input_is_refused_in_toncenters_envelope(ton_chain: TonChain, method: str, params: dict[str, Any], code: int) -> None:
    refused = ton_chain.refusal(method, **params)
    assert refused["code"] == code and refused["error"]
    called = ton_chain.ask("jsonRPC", id=1, method=method, params=params)
    assert called.status_code == code and called.json()["ok"] is False


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b'"text"'])
def test_a_body_that_is_no_object_is_refused(ton_chain: TonChain, body: bytes) -> None:
    answer = ton_chain.http.post("/api/v2/jsonRPC", content=body)
    assert answer.status_code == 422 and answer.json()["ok"] is False


def test_a_huge_body_is_refused_unread(ton_chain: TonChain) -> None:
    with socket.create_connection(("127.0.0.1", ton_chain.port), timeout=10) as connection:
        connection.sendall(b"POST /api/v2/sendBoc HTTP/1.1\r\nHost: ton\r\nContent-Length: 9999999999\r\n\r\n")
        assert b" 413 " in connection.recv(1000).splitlines()[0]


def test_a_fee_is_estimated_from_a_run(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice", 5 * TON)
    ton_chain.pay("alice", alice, TON)
    body = ton_chain.dev("sign", **{"from": "alice", "to": alice, "amount": TON})["body"]
    fees = ton_chain.call("estimateFee", address=alice, body=body)["source_fees"]
    assert fees["gas_fee"] > 0 and fees["in_fwd_fee"] > 0 and fees["storage_fee"] >= 0
