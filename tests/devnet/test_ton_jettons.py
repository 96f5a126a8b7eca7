"""Jettons on the local TON: master and wallets by TEP-74, executed in the TVM."""

import base64

from pytoniq_core import Address, begin_cell

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


def test_a_jetton_that_poses_as_another_has_another_master(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice", TON)
    real, fake = ton_chain.mint(alice, 5), ton_chain.mint(alice, 7, asset="FAKE")
    assert real != fake and ton_chain.jetton_wallet(alice)["balance"] == "5"
    for wallet, asset in ((real, "USDT"), (fake, "FAKE")):
        said = ton_chain.call("runGetMethod", address=wallet, method="get_wallet_data", stack=[])
        cells = said["stack"][2][1]["object"]["data"]["b64"]
        assert cells == address_cell(ton_chain.dev("jettons")[asset]["master"])


def address_cell(address: str) -> str:
    """The bits of an address in a cell of its own, base64: two of its kind, one for no anycast, the workchain, the hash."""
    raw = base64.urlsafe_b64decode(address)[1:34]
    bits = f"100{int.from_bytes(raw, 'big'):0264b}00000"
    return base64.b64encode(int(bits, 2).to_bytes(34, "big")).decode()


def test_nobody_but_jetton_wallets_and_the_master_makes_tokens(ton_chain: TonChain) -> None:
    """An internal transfer from somebody else's wallet is refused, and its money bounces."""
    alice = ton_chain.wallet("alice", 10 * TON)
    wallet = ton_chain.mint(alice, 5)
    forged = begin_cell().store_uint(0x178D4519, 32).store_uint(1, 64).store_coins(10**9).store_address(None).store_address(None)
    forged.store_coins(0).store_bit(0)
    body = base64.b64encode(forged.end_cell().to_boc()).decode()
    ton_chain.dev("pay", **{"from": "alice", "to": wallet, "amount": TON, "body": body})
    ton_chain.advance(3)
    assert ton_chain.jetton_wallet(alice)["balance"] == "5"
    assert ton_chain.transactions(alice)[0]["in_msg"]["source"] == wallet, "bounced"


def test_burnt_tokens_leave_the_supply(ton_chain: TonChain) -> None:
    alice = ton_chain.wallet("alice", 10 * TON)
    wallet = ton_chain.mint(alice, 5_000_000)
    order = (
        begin_cell()
        .store_uint(0x595F07BC, 32)
        .store_uint(1, 64)
        .store_coins(2_000_000)
        .store_address(Address(alice))
        .store_bit(0)
    )
    body = base64.b64encode(order.end_cell().to_boc()).decode()
    ton_chain.dev("pay", **{"from": "alice", "to": wallet, "amount": TON // 5, "body": body})
    ton_chain.advance(4)
    master = ton_chain.jetton_wallet(alice)["master"]
    assert ton_chain.jetton_wallet(alice)["balance"] == "3000000"
    data = ton_chain.call("runGetMethod", address=master, method="get_jetton_data", stack=[])
    assert int(data["stack"][0][1], 16) == 3_000_000


def test_tokens_that_bounce_are_back(ton_chain: TonChain) -> None:
    """As from a payee's wallet that can't take them, which ours always can: the bounce is put into the block by hand."""
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob")
    wallet, other = ton_chain.mint(alice, 5_000_000), ton_chain.jetton_wallet(bob)["wallet"]
    ton_chain.pay_jetton("alice", bob, 2_000_000)
    assert ton_chain.jetton_wallet(alice)["balance"] == "3000000"
    body = begin_cell().store_uint(0xFFFFFFFF, 32).store_uint(0x178D4519, 32).store_uint(1, 64).store_coins(2_000_000).end_cell()
    message = begin_cell().store_uint(0b0101, 4).store_address(Address(other)).store_address(Address(wallet)).store_coins(10**7)
    message.store_uint(1, 1 + 4 + 4 + 64 + 32 + 1 + 1).store_ref(body)
    ton_chain.dev("put", message=base64.b64encode(message.end_cell().to_boc()).decode())
    ton_chain.advance()
    assert ton_chain.jetton_wallet(alice)["balance"] == "5000000"


def test_a_transfer_that_carries_too_little_to_tell_the_payee_is_refused(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob")
    wallet = ton_chain.mint(alice, 5_000_000)
    order = begin_cell().store_uint(0x0F8A7EA5, 32).store_uint(1, 64).store_coins(2_000_000).store_address(Address(bob))
    order.store_address(Address(alice)).store_bit(0).store_coins(TON).store_bit(0)
    body = base64.b64encode(order.end_cell().to_boc()).decode()
    ton_chain.dev("pay", **{"from": "alice", "to": wallet, "amount": TON // 10, "body": body})
    ton_chain.advance(5)
    assert ton_chain.jetton_wallet(alice)["balance"] == "5000000" and ton_chain.jetton_wallet(bob)["balance"] == "0"
