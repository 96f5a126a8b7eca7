"""What is owed in TON reaches its wallet once, from a wallet v4r2 in a real TVM."""

import pytest

from app.adapters.chains import json_rpc, ton_cells
from app.adapters.chains import ton_payouts as ton_payouts_adapter
from app.adapters.chains.ton_payouts import MARGIN_SECONDS
from app.core import audit, ledger, payout_reconciliation
from app.core.ledger import Party
from app.db import Database
from app.flows import payouts
from app.values import ton_address
from app.values.money import Money
from app.values.ton_address import TonAddress
from app.values.ton_chain import TonTransaction
from tests.factories.payouts import (
    TON_VALID_SECONDS,
    SignerProcess,
    all_differences,
    all_payouts,
    all_signings,
    ton_earner,
    ton_order,
    ton_payouts,
    until,
)
from tests.factories.ton import TON as ONE_TON
from tests.factories.ton import TonChain
from tests.flows.conftest import Backups

TWO = Money(2 * ONE_TON, "TON")


@pytest.fixture
def wallet(ton_chain: TonChain, signer: SignerProcess) -> str:
    address = signer.client.addresses()["ton"]
    ton_chain.fund(address, 100 * ONE_TON)
    return address


def advance(database: Database, chain: TonChain, signer: SignerProcess, **options: float) -> None:
    payouts.advance_if_possible(database, ton_payouts(chain.api_url, **options), signer.client)


def finish(database: Database, chain: TonChain, signer: SignerProcess) -> None:
    for _ in until(60):
        advance(database, chain, signer)
        if all(payout.state in ("confirmed", "cancelled") or payout.held_reason for payout in all_payouts(database)):
            return
        chain.advance(2, seconds=1)


def assert_paid_once(database: Database, chain: TonChain, expected: dict[str, int]) -> None:
    """Every wallet has exactly what it was owed, and books and chain agree."""
    for destination, nano in expected.items():
        assert chain.balance(destination) == nano
    paid = sum(payout.amount_minor for payout in all_payouts(database) if payout.state == "confirmed")
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("chain"), "TON").minor == paid
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []


def test_payouts_leave_four_at_a_time(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str
) -> None:
    owed = {}
    for _ in range(5):
        account, address = ton_earner(database, ton_chain, TWO)
        ton_order(database, account, address, TWO)
        owed[address] = TWO.minor
    advance(database, ton_chain, signer)
    assert [payout.state for payout in all_payouts(database)] == ["sent"] * 4 + ["created"]
    finish(database, ton_chain, signer)
    assert_paid_once(database, ton_chain, owed)
    advance(database, ton_chain, signer)
    first, second = all_signings(database)
    assert (first.seqno, second.seqno) == (0, 1) and first.seen_at and second.seen_at
    assert all_differences(database) == []
    received = ton_chain.transactions(next(iter(owed)))[0]["in_msg"]
    assert received["message"] == str(all_payouts(database)[0].id)


def test_the_same_message_is_sent_again_after_a_time_out(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str
) -> None:
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    ton_chain.faults(breaks="silence", methods=["sendBoc"], times=1, after_accepting=True)
    advance(database, ton_chain, signer, timeout_seconds=1)
    assert [payout.state for payout in all_payouts(database)] == ["signed"], "it was taken, and nobody knows"
    finish(database, ton_chain, signer)
    assert len(all_signings(database)) == 1
    assert_paid_once(database, ton_chain, {address: TWO.minor})


def test_a_lost_message_is_signed_anew_once_its_time_is_over(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str
) -> None:
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    ton_chain.faults(lose=1000)
    for _ in range(3):
        advance(database, ton_chain, signer)
        ton_chain.advance(1, seconds=TON_VALID_SECONDS // 4)
    assert len(all_signings(database)) == 1, "nothing else is signed while it may be executed"
    ton_chain.advance(1, seconds=TON_VALID_SECONDS + MARGIN_SECONDS)
    ton_chain.heal()
    finish(database, ton_chain, signer)
    first, second = all_signings(database)
    assert (first.outcome, second.outcome) == ("expired", "landed") and first.seqno == second.seqno
    assert_paid_once(database, ton_chain, {address: TWO.minor})


@pytest.mark.parametrize(
    "fault",
    [
        {"lag_blocks": 3},
        {"hide_last": 1},
        {"claim_hash": "A" * 43 + "="},
        {"breaks": "garbage", "times": 3},
        {"breaks": "error", "times": 3},
        {"breaks": "close", "methods": ["sendBoc"], "times": 1, "after_accepting": True},
    ],
    ids=["lags", "hides", "forges", "garbage", "fails", "hangs-up"],
)
def test_a_server_that_lies_pays_nothing_twice(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str, fault: dict
) -> None:
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    for turn in range(6):
        if turn:
            ton_chain.faults(**fault)
        advance(database, ton_chain, signer)
        ton_chain.advance(2, seconds=20)
        assert ton_chain.balance(address) in (0, TWO.minor) if not ton_chain.faults().get("breaks") else True
    ton_chain.heal()
    finish(database, ton_chain, signer)
    assert_paid_once(database, ton_chain, {address: TWO.minor})


def test_what_was_not_sent_of_a_batch_is_counted_and_sent_again(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str
) -> None:
    """The wallet is emptied between signing and executing: the number moves on, and not every message went out."""
    owed = {}
    for amount in (60, 30):
        money = Money(amount * ONE_TON, "TON")
        account, address = ton_earner(database, ton_chain, money)
        ton_order(database, account, address, money)
        owed[address] = money.minor
    ton_chain.faults(lose=1)
    advance(database, ton_chain, signer)
    (signing,) = all_signings(database)
    drain(database, ton_chain, signer, signing)
    finish(database, ton_chain, signer)
    assert_paid_once(database, ton_chain, owed)


def drain(database: Database, chain: TonChain, signer: SignerProcess, signing: object) -> None:
    """Nothing but the wallet's own key can empty it, so the chain is taken back to when it had less."""
    chain.fork(1)
    chain.fund(signer.client.addresses()["ton"], 62 * ONE_TON)
    advance(database, chain, signer)
    chain.advance(3)
    advance(database, chain, signer)
    assert [payout.state for payout in all_payouts(database)] == ["confirmed", "expired"]
    chain.fund(signer.client.addresses()["ton"], 100 * ONE_TON)


def test_a_restored_backup_pays_nothing_twice(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str, restore: Backups
) -> None:
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    backup = restore.keep()
    finish(database, ton_chain, signer)
    restored = backup()
    finish(restored, ton_chain, signer)
    assert_paid_once(restored, ton_chain, {address: TWO.minor})
    assert len(all_signings(restored)) == 1 and all_differences(restored) == []


def test_money_that_bounces_off_the_hot_wallet_halts_nothing(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str
) -> None:
    """Before its first payout the wallet has no code: whatever asks to bounce goes back, and anybody may send such."""
    ton_chain.wallet("stranger", 10 * ONE_TON)
    ton_chain.pay("stranger", wallet, 3 * ONE_TON, bounce=True)
    assert ton_chain.transactions(wallet)[0]["out_msgs"], "the wallet's own transaction shows a message out"
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    finish(database, ton_chain, signer)
    assert all_differences(database) == []
    assert_paid_once(database, ton_chain, {address: TWO.minor})


def test_a_key_that_was_changed_after_a_restore_pays_nothing_twice(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str, restore: Backups
) -> None:
    """The books forget a payout that the old key has paid; the signer's journal remembers it, and whose it was."""
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    backup = restore.keep()
    finish(database, ton_chain, signer)
    restored = backup()
    signer.kill()
    (signer.home / "signer" / "ton.json").rename(signer.home / "ton.old")
    signer.start()
    ton_chain.fund(signer.client.addresses()["ton"], 100 * ONE_TON)
    finish(restored, ton_chain, signer)
    (signing,) = all_signings(restored)
    assert signing.source == ton_address.read(wallet).raw
    assert_paid_once(restored, ton_chain, {address: TWO.minor})


def test_a_history_of_huge_messages_is_read_in_smaller_pages(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a hundred large messages is more than one answer may have: the reading goes on all the same."""
    for number in range(12):
        ton_chain.fund(wallet, 10, comment=f"{number} " + "x" * 100)
    monkeypatch.setattr(json_rpc, "ANSWER_BYTES_LIMIT", 12_000)
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    finish(database, ton_chain, signer)
    assert_paid_once(database, ton_chain, {address: TWO.minor})


def test_a_payee_whose_account_cannot_be_read_keeps_nobody_waiting(
    database: Database, ton_chain: TonChain, signer: SignerProcess, wallet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a payee's contract does on receipt may be more than is read of one transaction."""
    account, address = ton_earner(database, ton_chain, TWO)
    ton_order(database, account, address, TWO)
    read = ton_cells.read_transaction

    def choke(owner: TonAddress, boc: bytes) -> TonTransaction:
        if owner.raw == address:
            raise ValueError("the bag has too many cells")
        return read(owner, boc)

    monkeypatch.setattr(ton_cells, "read_transaction", choke)
    for _ in range(3):
        advance(database, ton_chain, signer)
        ton_chain.advance(2, seconds=1)
    assert [payout.state for payout in all_payouts(database)] == ["sent"], "not at once"
    monkeypatch.setattr(ton_payouts_adapter, "UNREADABLE_SECONDS", -1000)
    finish(database, ton_chain, signer)
    assert_paid_once(database, ton_chain, {address: TWO.minor})
