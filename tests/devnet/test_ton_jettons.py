"""Jettons on the local TON: master and wallets by TEP-74, executed in the TVM."""

import base64

from tests.factories.ton import TON, TonChain

NOTICE, EXCESSES = bytes.fromhex("7362d09c"), bytes.fromhex("d53276db")


def body_bits(transaction: dict) -> bytes:  # type: ignore[type-arg]
    return base64.b64decode(transaction["in_msg"]["message"])


def test_tokens_are_minted_and_paid_with_a_comment(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob", TON)
    source = ton_chain.mint(alice, 5_000_000, comment="welcome")
    assert ton_chain.jetton_wallet(alice)["balance"] == "5000000"
    told = ton_chain.transactions(alice)[0]
    assert told["in_msg"]["source"] == source and body_bits(told)[:4] == NOTICE

    ton_chain.pay_jetton("alice", bob, 1_500_000, "order 7")
    target = ton_chain.jetton_wallet(bob)
    assert target["balance"] == "1500000" and ton_chain.jetton_wallet(alice)["balance"] == "3500000"
    told = ton_chain.transactions(bob)[0]
    assert told["in_msg"]["source"] == target["wallet"] and body_bits(told)[:4] == NOTICE
    assert b"\0\0\0\0order 7" in base64.b64decode(told["in_msg"]["msg_data"]["body"])
    back = ton_chain.transactions(alice)[0]
    assert body_bits(back)[:4] == EXCESSES and int(back["in_msg"]["value"]) > 0


def test_more_than_there_is_is_refused_by_the_wallet(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob", TON)
    wallet = ton_chain.mint(alice, 1_000_000)
    ton_chain.pay_jetton("alice", bob, 1_000_001)
    assert ton_chain.jetton_wallet(alice)["balance"] == "1000000" and ton_chain.jetton_wallet(bob)["balance"] == "0"
    assert ton_chain.transactions(alice)[0]["in_msg"]["source"] == wallet, "the rest of the fee bounced"


def test_the_masters_get_methods(ton_chain: TonChain) -> None:
    master = ton_chain.dev("jettons")["USDT"]["master"]
    alice = ton_chain.wallet("alice")
    ton_chain.mint(alice, 7)
    data = ton_chain.call("runGetMethod", address=master, method="get_jetton_data", stack=[])
    assert data["exit_code"] == 0 and data["stack"][0] == ["num", "0x7"] and data["stack"][1] == ["num", "-0x1"]
