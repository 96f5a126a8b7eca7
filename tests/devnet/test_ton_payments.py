"""Money on the local TON: wallets deploy and pay in the TVM, chains of transactions are whole, bounces come back."""

import base64

from tests.factories.ton import TON, TonChain


def test_a_wallet_deploys_pays_and_is_paid(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob")
    assert ton_chain.call("getAddressState", address=alice) == "uninitialized"
    ton_chain.pay("alice", bob, 2 * TON, "order 1")
    assert ton_chain.call("getAddressState", address=alice) == "active"
    assert ton_chain.balance(bob) == 2 * TON
    (got,) = ton_chain.transactions(bob)
    assert got["in_msg"]["source"] == alice and got["in_msg"]["value"] == str(2 * TON) and got["in_msg"]["message"] == "order 1"
    sent, given = ton_chain.transactions(alice)
    assert [message["destination"] for message in sent["out_msgs"]] == [bob] and sent["in_msg"]["source"] == ""
    assert ton_chain.balance(alice) == 8 * TON - int(sent["fee"]) and given["in_msg"]["value"] == str(10 * TON)
    assert ton_chain.call("getWalletInformation", address=alice)["seqno"] == 1


def test_a_chain_of_transactions_is_walked_by_lt_and_hash(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob")
    for number in range(5):
        ton_chain.fund(bob, TON, f"gift {number}")
    newest_first = ton_chain.transactions(bob)
    assert [entry["in_msg"]["message"] for entry in newest_first] == [f"gift {number}" for number in (4, 3, 2, 1, 0)]
    third = newest_first[2]["transaction_id"]
    page = ton_chain.transactions(bob, 2, lt=third["lt"], hash=third["hash"])
    assert page == newest_first[2:4]
    in_hex = base64.b64decode(third["hash"]).hex()
    assert ton_chain.transactions(bob, lt=third["lt"], hash=in_hex, to_lt=newest_first[4]["transaction_id"]["lt"]) == page
    refused = ton_chain.refusal("getTransactions", address=bob, lt=third["lt"], hash=newest_first[0]["transaction_id"]["hash"])
    assert refused["code"] == 500 and "cannot locate transaction" in refused["error"]


def test_a_bounceable_payment_to_nobody_comes_back(ton_chain: TonChain) -> None:
    alice, nobody = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("nobody")
    ton_chain.pay("alice", nobody, 2 * TON, "lost", bounce=True)
    assert ton_chain.balance(nobody) == 0
    back = ton_chain.transactions(alice)[0]["in_msg"]
    assert back["source"] == nobody and TON < int(back["value"]) < 2 * TON
    assert base64.b64decode(back["message"]).startswith(b"\xff\xff\xff\xff\0\0\0\0lost")
