"""The local TON gone wrong on demand: it lags, breaks, loses, lies and forks, and is well again afterwards."""

import httpx
import pytest

from tests.factories.ton import TON, TonChain


def signed(chain: TonChain, to: str) -> str:
    """A wallet's signed message, not sent."""
    return str(chain.dev("sign", **{"from": "alice", "to": to, "amount": TON, "bounce": False})["boc"])


def test_a_lagging_server_shows_an_old_chain(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob", TON)
    head = ton_chain.advance(3)
    ton_chain.fund(bob, TON)
    ton_chain.faults(lag_blocks=2)
    assert ton_chain.balance(bob) == TON and len(ton_chain.transactions(bob)) == 1
    assert ton_chain.call("getMasterchainInfo")["last"]["seqno"] == head - 1
    ton_chain.heal()
    assert 2 * TON - ton_chain.balance(bob) in range(10), "what it keeps costs a little with time"


def test_a_message_is_taken_and_its_sender_does_not_hear_so(ton_chain: TonChain) -> None:
    ton_chain.wallet("alice", 10 * TON)
    bob = ton_chain.wallet("bob")
    boc = signed(ton_chain, bob)
    ton_chain.faults(breaks="silence", methods=["sendBoc"], times=1, after_accepting=True)
    with pytest.raises(httpx.ReadTimeout):
        ton_chain.http.post("/api/v2/jsonRPC", json={"id": 1, "method": "sendBoc", "params": {"boc": boc}}, timeout=0.5)
    ton_chain.advance(2)
    assert ton_chain.balance(bob) == TON
    refused = ton_chain.refusal("sendBoc", boc=boc)
    assert refused["code"] == 500 and "exitcode=33" in refused["error"], "the same message does not count twice"


def test_a_message_is_answered_and_lost(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob")
    boc = signed(ton_chain, bob)
    ton_chain.faults(lose=1)
    assert ton_chain.call("sendBoc", boc=boc)["@type"] == "ok"
    ton_chain.advance(5)
    assert ton_chain.balance(bob) == 0 and len(ton_chain.transactions(alice)) == 1
    ton_chain.call("sendBoc", boc=boc)
    ton_chain.call("sendBoc", boc=boc)  # while it waits it is one message
    ton_chain.advance(2)
    assert ton_chain.balance(bob) == TON


def test_a_late_message_is_refused_and_a_waiting_one_is_dropped_when_its_time_is_over(ton_chain: TonChain) -> None:
    ton_chain.wallet("alice", 10 * TON)
    bob = ton_chain.wallet("bob")
    boc = signed(ton_chain, bob)
    ton_chain.advance(1, seconds=7200)
    refused = ton_chain.refusal("sendBoc", boc=boc)
    assert "exitcode=36" in refused["error"]
    boc = signed(ton_chain, bob)
    ton_chain.call("sendBoc", boc=boc)
    ton_chain.advance(1, seconds=7200)  # its block is made too late for it
    ton_chain.advance(3)
    assert ton_chain.balance(bob) == 0
    ton_chain.pay("alice", bob, TON)
    assert ton_chain.balance(bob) == TON, "the sequence number is still good"


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [("error", 503, "told to fail"), ("refuse", 429, "Ratelimit"), ("garbage", 200, "raw.trans"), ("html", 200, "<html>")],
)
def test_answers_that_are_none(ton_chain: TonChain, kind: str, status: int, word: str) -> None:
    bob = ton_chain.wallet("bob", TON)
    ton_chain.faults(breaks=kind, methods=["getTransactions"])
    answer = ton_chain.http.get("/api/v2/getTransactions", params={"address": bob})
    assert answer.status_code == status and word in answer.text
    assert ton_chain.balance(bob) == TON, "other methods are well"
    ton_chain.heal()
    assert len(ton_chain.transactions(bob)) == 1


def test_a_body_without_an_end_and_a_connection_without_an_answer(ton_chain: TonChain) -> None:
    ton_chain.faults(breaks="endless", times=1)
    with ton_chain.http.stream("GET", "/api/v2/getMasterchainInfo") as answer:
        size = 0
        for part in answer.iter_raw():
            size += len(part)
            if size > 5_000_000:
                break
    assert size > 5_000_000
    ton_chain.faults(breaks="close", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        ton_chain.http.get("/api/v2/getMasterchainInfo")
    assert ton_chain.call("getMasterchainInfo")["last"]["seqno"] >= 1


def test_a_liar_leaves_out_and_renames(ton_chain: TonChain) -> None:
    bob = ton_chain.wallet("bob")
    for number in range(3):
        ton_chain.fund(bob, TON, str(number))
    ids = [entry["transaction_id"]["hash"] for entry in ton_chain.transactions(bob)]
    ton_chain.faults(hide=[ids[1]])
    assert [entry["transaction_id"]["hash"] for entry in ton_chain.transactions(bob)] == [ids[0], ids[2]]
    ton_chain.faults(hide=[], hide_last=1)
    assert [entry["transaction_id"]["hash"] for entry in ton_chain.transactions(bob)] == ids[1:]
    ton_chain.faults(hide_last=0, claim_hash=ids[2])
    assert {entry["transaction_id"]["hash"] for entry in ton_chain.transactions(bob)} == {ids[2]}


def test_a_fork_undoes_and_what_was_sent_may_land_again(ton_chain: TonChain) -> None:
    alice, bob = ton_chain.wallet("alice", 10 * TON), ton_chain.wallet("bob")
    ton_chain.pay("alice", bob, TON, "first")
    head = ton_chain.call("getMasterchainInfo")["last"]["seqno"]
    made = ton_chain.call("getBlockHeader", seqno=head - 4)["gen_utime"]
    ton_chain.advance(seconds=600)
    assert ton_chain.fork(5, keep_sent=True) == head - 4
    assert ton_chain.call("getBlockHeader", seqno=head - 4)["gen_utime"] == made, "what stays is as it was"
    assert ton_chain.balance(bob) == 0 and ton_chain.call("getWalletInformation", address=alice).get("seqno") is None
    ton_chain.advance(3)
    assert ton_chain.call("getBlockHeader", seqno=head - 3)["gen_utime"] >= made + 600, "time does not go back"
    assert ton_chain.balance(bob) == TON
    assert ton_chain.call("getWalletInformation", address=alice)["seqno"] == 1
    ton_chain.fork(4)
    ton_chain.advance(6)
    assert ton_chain.balance(bob) == 0, "lost for good"


def test_messages_between_contracts_take_their_time(ton_chain: TonChain) -> None:
    ton_chain.wallet("alice", 10 * TON)
    bob = ton_chain.wallet("bob")
    ton_chain.dev("delivery", blocks=5)
    ton_chain.call("sendBoc", boc=signed(ton_chain, bob))
    ton_chain.advance(5)
    assert ton_chain.balance(bob) == 0
    ton_chain.advance(1)
    assert ton_chain.balance(bob) == TON


def test_a_fault_that_is_none_is_named(ton_chain: TonChain) -> None:
    for wanted in ({"lagg": 1}, {"lag_blocks": "2"}, {"breaks": "often"}, {"times": True}):
        answer = ton_chain.http.post("/dev/faults", json=wanted)
        assert answer.status_code == 422 and answer.json()["ok"] is False
    assert ton_chain.faults()["breaks"] == ""
