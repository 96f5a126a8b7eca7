"""The local TON after kill -9: nothing that was answered is lost."""

import signal
from pathlib import Path

from tests.factories.ton import TON, TonChain


def test_what_landed_and_what_waits_outlives_kill_9(tmp_path: Path) -> None:
    first = TonChain(tmp_path / "ton")
    alice, bob = first.wallet("alice", 10 * TON), first.wallet("bob")
    first.pay("alice", bob, TON, "landed")
    first.mint(alice, 5)
    before = first.transactions(alice)
    first.dev("pay", **{"from": "alice", "to": bob, "amount": 2 * TON, "comment": "waits", "bounce": False})
    head = first.call("getMasterchainInfo")["last"]["seqno"]
    first.end(signal.SIGKILL)

    again = TonChain(tmp_path / "ton")
    assert again.transactions(alice) == before and again.jetton_wallet(alice)["balance"] == "5"
    assert again.call("getMasterchainInfo")["last"]["seqno"] == head
    again.advance(2)
    assert [entry["in_msg"]["message"] for entry in again.transactions(bob)] == ["waits", "landed"]
    first_block = again.call("getBlockHeader", workchain=-1, seqno=1)["gen_utime"]
    assert first_block <= again.call("getBlockHeader", workchain=-1, seqno=head)["gen_utime"]
    assert again.end() == (0, "")


def test_a_fork_and_its_end_outlive_it_too(tmp_path: Path) -> None:
    first = TonChain(tmp_path / "ton")
    bob = first.wallet("bob")
    first.fund(bob, TON, "kept")
    first.fund(bob, TON, "undone")
    head = first.fork(1)
    assert first.balance(bob) == TON
    first.end(signal.SIGKILL)

    again = TonChain(tmp_path / "ton")
    assert again.call("getMasterchainInfo")["last"]["seqno"] == head and again.balance(bob) == TON
    again.fund(bob, TON, "after")
    assert [entry["in_msg"]["message"] for entry in again.transactions(bob)] == ["after", "kept"]
    assert again.end() == (0, "")


def test_a_cut_line_is_dropped_and_a_broken_one_is_named(tmp_path: Path) -> None:
    first = TonChain(tmp_path / "ton")
    bob = first.wallet("bob")
    first.fund(bob, TON)
    assert first.end() == (0, "")
    journal = tmp_path / "ton" / "chain.jsonl"
    whole = journal.read_text()
    journal.write_text(whole + '{"sent": "te6')
    again = TonChain(tmp_path / "ton")
    assert again.balance(bob) == TON
    assert again.end() == (0, "")
    journal.write_text(whole.replace('"seqno"', '"sqno"', 1))
    try:
        TonChain(tmp_path / "ton")
    except RuntimeError as error:
        assert "chain.jsonl, line" in str(error) and "Traceback" not in str(error)
    else:
        raise AssertionError("a broken journal was read")


def test_blocks_pass_with_time_and_while_the_process_is_away(tmp_path: Path) -> None:
    first = TonChain(tmp_path / "ton", block_ms=20)
    bob = first.wallet("bob")
    first.dev("faucet", address=bob, amount=TON)
    while first.balance(bob) == 0:  # blocks come by themselves: ask until the one with the gift is there
        pass
    head = first.call("getMasterchainInfo")["last"]["seqno"]
    first.end(signal.SIGKILL)
    again = TonChain(tmp_path / "ton", block_ms=20)
    assert again.call("getMasterchainInfo")["last"]["seqno"] > head and again.balance(bob) == TON
    assert again.end() == (0, "")


def test_another_pace_changes_nothing_that_was(tmp_path: Path) -> None:
    first = TonChain(tmp_path / "ton", block_ms=20)
    head = first.advance(5)
    times = [first.call("getBlockHeader", seqno=number)["gen_utime"] for number in range(1, head + 1)]
    first.end(signal.SIGKILL)
    slow = TonChain(tmp_path / "ton")
    stopped = slow.call("getMasterchainInfo")["last"]["seqno"]
    assert stopped >= head, "blocks passed while nobody looked"
    assert [slow.call("getBlockHeader", seqno=number)["gen_utime"] for number in range(1, head + 1)] == times
    assert slow.advance() == stopped + 1 and slow.call("getMasterchainInfo")["last"]["seqno"] == stopped + 1
    assert slow.end() == (0, "")
    again = TonChain(tmp_path / "ton")
    assert again.call("getMasterchainInfo")["last"]["seqno"] == stopped + 1
    assert again.end() == (0, "")
