"""Payments on TON against a real TVM: found by walking, booked once, and never lost, whatever the chain and its server do."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytoniq_core import Address, begin_cell
from sqlalchemy import update

from app.core import arrivals, chain_cursors, figures, payments
from app.core.ledger import Party
from app.core.ton_hub import TonHub
from app.db import Database
from app.errors import ChainUnavailable, ChainUnreadable, Conflict, InvalidInput, NotFound, Unavailable
from app.failpoints import FAILPOINTS
from app.flows import ton_payments
from app.models.jobs import Job
from app.models.payments import ChainCursor, OutboxMessage, Payment, Refund
from app.values import clock
from app.values.ton_address import TonAddress
from app.values.ton_arrivals import NOTIFICATION
from devnet.ton.messages import internal
from devnet.ton.wallets import Outgoing, WalletV4
from tests.factories.market import Marketplace
from tests.factories.ton import TON, TonChain
from tests.factories.ton_shop import TonShop

ROOT = Path(__file__).parent.parent.parent
POINTS = [name for name in FAILPOINTS if name.startswith("ton.")]


@pytest.fixture
def shop(database: Database, ton_chain: TonChain) -> TonShop:
    return TonShop(database, ton_chain)


def test_a_deposit_is_found_by_its_memo_and_credited_once(shop: TonShop) -> None:
    payment = shop.ask(2 * TON)
    assert shop.sweep() == 0
    shop.pay(2 * TON, payment.memo)
    assert (shop.sweep(), shop.sweep()) == (1, 0)
    assert (shop.balance(), shop.state(payment), shop.shown(payment)) == (2 * TON, "confirmed", [("accepted", None, 2 * TON)])
    shop.assert_books_agree()


def test_sweeps_at_once_credit_each_deposit_once(shop: TonShop) -> None:
    asked = [shop.ask(TON) for _ in range(5)]
    for payment in asked:
        shop.pay(TON, payment.memo)

    def sweep(_: int) -> None:
        try:
            shop.sweep()
        except ChainUnavailable:
            pass  # another one is reading the account

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(sweep, range(4)))
    assert (shop.balance(), {shop.state(payment) for payment in asked}) == (5 * TON, {"confirmed"})
    shop.assert_books_agree()


def test_jettons_are_credited_when_our_own_wallet_of_them_tells(shop: TonShop) -> None:
    shop.chain.mint(shop.payer, 10_000_000)
    payment = shop.ask(1_500_000, "USDT")
    shop.chain.pay_jetton("alice", shop.address, 1_500_000, payment.memo)
    shop.sweep()
    shop.sweep()
    assert (shop.balance("USDT"), shop.state(payment)) == (1_500_000, "confirmed")
    assert shop.arrivals() == [("matched", None, "USDT", 1_500_000)], "neither twice, nor as the TON that came along"
    shop.assert_books_agree()


def test_jettons_whose_sender_paid_for_no_notification_are_found_in_the_jetton_wallet(shop: TonShop) -> None:
    shop.chain.mint(shop.payer, 10_000_000)
    payment = shop.ask(1_500_000, "USDT")
    shop.sweep()
    shop.chain.pay_jetton("alice", shop.address, 1_500_000, payment.memo, forward_amount=0)
    shop.chain.pay_jetton("alice", shop.address, 700_000, "", forward_amount=0)
    shop.sweep()
    shop.sweep()
    assert (shop.balance("USDT"), shop.state(payment)) == (1_500_000, "confirmed")
    assert shop.arrivals() == [("matched", None, "USDT", 1_500_000), ("unclaimed", "memo_missing", "USDT", 700_000)]
    shop.assert_books_agree()


@pytest.mark.parametrize(
    ("nano", "late_seconds", "shown", "state"),
    [
        (TON, 0, ("accepted", None, TON), "confirmed"),
        (3 * TON, 0, ("accepted", None, 3 * TON), "confirmed"),
        (TON - 1, 0, ("refundable", "short", TON - 1), "open"),
        (TON, 1000, ("refundable", "expired", TON), "open"),
    ],
)
def test_what_came_is_the_accounts_whether_or_not_it_settles_the_payment(
    shop: TonShop, nano: int, late_seconds: int, shown: tuple, state: str
) -> None:
    payment = shop.ask(TON)
    if late_seconds:
        shop.chain.advance(1, late_seconds)
    shop.pay(nano, payment.memo)
    shop.sweep()
    assert (shop.shown(payment), shop.state(payment), shop.balance()) == ([shown], state, nano)
    (message,) = shop.messages(payment)
    assert message is None if state == "confirmed" else message and message.endswith("it is on the balance")
    shop.assert_books_agree()


def test_a_deposit_that_is_paid_twice_is_credited_twice_and_settled_once(shop: TonShop) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    shop.pay(TON, f"  {payment.memo}\n")
    shop.sweep()
    assert shop.shown(payment) == [("accepted", None, TON), ("refundable", "already_paid", TON)]
    assert shop.balance() == 2 * TON
    shop.assert_books_agree()


def test_money_that_no_payment_takes_is_booked_and_shown_and_can_be_given_to_its_owner(shop: TonShop) -> None:
    asked = shop.ask(1_000_000, "USDT")
    shop.sweep()
    for memo in ("", "thanks", f"deposit:{uuid.uuid4()}", asked.memo, "x" * 5000):
        shop.pay(TON, memo)
    shop.sweep()
    codes = ["memo_missing", "memo_unknown", "memo_unknown", "wrong_asset", "memo_unknown"]
    assert shop.arrivals() == [("unclaimed", code, "TON", TON) for code in codes]
    assert (shop.balance(), shop.held(Party("unclaimed")), shop.state(asked)) == (0, 5 * TON, "open")
    with shop.database.unit_of_work() as session:
        found = {item.labels["code"]: item.value for item in figures.read(session, 90) if item.name == "arrivals_unclaimed"}
        first, *_, last = arrivals.unclaimed(session)
        assert arrivals.assign(session, first.id, shop.account_id).minor == TON
        arrivals.put_away(session, last.id)
    assert found == {"memo_missing": 1, "memo_unknown": 3, "wrong_asset": 1}
    assert (shop.balance(), shop.held(Party("unclaimed"))) == (TON, 4 * TON)
    for done in (first.id, last.id, uuid.uuid4()):
        with shop.database.unit_of_work() as session, pytest.raises(NotFound):
            arrivals.assign(session, done, shop.account_id)
    shop.assert_books_agree()


def test_what_bounced_back_to_its_sender_was_never_ours(shop: TonShop) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo, bounce=True)
    shop.sweep()
    assert shop.arrivals() == [("ignored", "returned", "TON", TON)]
    assert (shop.balance(), shop.state(payment)) == (0, "open")
    shop.pay(TON, payment.memo)
    shop.sweep()
    assert (shop.balance(), shop.state(payment)) == (TON, "confirmed")
    shop.deploy()
    again = shop.ask(TON)
    shop.pay(TON, again.memo, bounce=True)
    shop.sweep()
    assert shop.state(again) == "confirmed", "a wallet with code keeps what may bounce"
    shop.assert_books_agree()


def test_our_own_money_that_bounced_is_shown_and_pays_for_nothing(shop: TonShop) -> None:
    shop.deploy()
    payment = shop.ask(TON)
    shop.sweep()
    shop.chain.pay("hub", shop.chain.wallet("nobody"), 2 * TON, payment.memo, bounce=True)
    shop.sweep()
    ((state, code, asset, amount),) = shop.arrivals()[-1:]
    assert (state, code, asset) == ("unclaimed", "bounced", "TON") and TON < amount < 2 * TON
    assert (shop.balance(), shop.state(payment)) == (0, "open")
    shop.assert_books_agree()


def send_body(shop: TonShop, body: object, nano: int = TON // 10) -> None:
    """A message of the payer's own making to the hub's wallet."""
    seqno = shop.ton.wallet_seqno(shop.read(shop.payer)) or 0
    message = internal(Address(shop.wallet.raw), nano, body.end_cell(), bounce=False)  # type: ignore[attr-defined]
    shop.ton.send(WalletV4.named("alice").transfer([Outgoing(message)], seqno, 2**32 - 1).to_boc())
    shop.chain.advance(3)


def notification(shop: TonShop, amount: int, memo: str) -> object:
    comment = begin_cell().store_uint(0, 32).store_string(memo).end_cell()
    told = begin_cell().store_uint(NOTIFICATION, 32).store_uint(0, 64).store_coins(amount).store_address(Address(shop.wallet.raw))
    return told.store_bit(1).store_ref(comment)


def test_a_notification_that_our_jetton_wallet_did_not_send_is_believed_by_nobody(shop: TonShop) -> None:
    payment = shop.ask(1_000_000, "USDT")
    shop.sweep()
    send_body(shop, notification(shop, 1_000_000, payment.memo))
    send_body(shop, notification(shop, 2**119, payment.memo))
    send_body(shop, begin_cell().store_uint(NOTIFICATION, 32))
    shop.sweep()
    assert [(state, code, asset) for state, code, asset, _ in shop.arrivals()] == [("unclaimed", "unknown_jetton", None)] * 3
    assert (shop.balance("USDT"), shop.held(Party("unclaimed"), "USDT"), shop.state(payment)) == (0, 0, "open")
    with shop.database.unit_of_work() as session:
        item = arrivals.unclaimed(session)[1]
        assert item.amount_minor == 2**119 and item.token == shop.read(shop.payer).raw
        with pytest.raises(Conflict):
            arrivals.assign(session, item.id, shop.account_id)
    shop.assert_books_agree()


@pytest.mark.parametrize("forward_amount", [10_000_000, 0])
def test_a_jetton_that_calls_itself_like_one_of_ours_is_none(shop: TonShop, forward_amount: int) -> None:
    shop.chain.mint(shop.payer, 10_000_000, asset="FAKE")
    payment = shop.ask(1_000_000, "USDT")
    shop.sweep()
    shop.chain.pay_jetton("alice", shop.address, 1_000_000, payment.memo, asset="FAKE", forward_amount=forward_amount)
    shop.sweep()
    told = [("unclaimed", "unknown_jetton", None)] if forward_amount else []
    assert [(state, code, asset) for state, code, asset, _ in shop.arrivals()] == told
    assert (shop.balance("USDT"), shop.held(Party("chain"), "USDT"), shop.state(payment)) == (0, 0, "open")


def test_a_jetton_that_is_not_on_the_list_is_no_money(shop: TonShop) -> None:
    shop.chain.mint(shop.payer, 10_000_000)
    shop.hub = TonHub(shop.wallet)
    payment = shop.ask(TON)
    shop.sweep()
    shop.chain.pay_jetton("alice", shop.address, 1_000_000, payment.memo)
    shop.sweep()
    assert [(state, code, asset) for state, code, asset, _ in shop.arrivals()] == [("unclaimed", "unknown_jetton", None)]
    assert (shop.balance(), shop.balance("USDT"), shop.state(payment)) == (0, 0, "open")


@pytest.mark.parametrize("asset", ["SOL", "USDC", "CREDIT"])
def test_what_is_not_taken_is_not_asked_for(shop: TonShop, asset: str) -> None:
    with pytest.raises(InvalidInput, match="TON, USDT"):
        shop.ask(1, asset)
    with pytest.raises(InvalidInput, match="more than zero"):
        shop.ask(0)
    shop.hub = TonHub(None)
    with pytest.raises(Unavailable, match="no payments on TON"):
        shop.ask(1)


def test_what_came_before_the_hub_asked_anybody_is_not_its_business(shop: TonShop) -> None:
    shop.pay(TON, "from before")
    shop.sweep()
    assert shop.arrivals() == []
    shop.pay(TON, "from now on")
    shop.sweep()
    assert [state for state, *_ in shop.arrivals()] == ["unclaimed"]


@pytest.fixture
def an_hour_later() -> Iterator[list[timedelta]]:
    """What is put into it is added to the hub's time."""
    added: list[timedelta] = []
    clock.replace_clock(lambda: sum(added, datetime.now(UTC)))
    yield added
    clock.replace_clock(None)


def test_a_payment_that_came_while_nobody_read_is_found_though_the_wallet_was_never_read(
    shop: TonShop, an_hour_later: list[timedelta]
) -> None:
    for number in range(3):
        shop.chain.fund(shop.address, TON, f"long before {number}")
    shop.chain.advance(1, 3600)
    an_hour_later.append(timedelta(hours=1))
    payment = shop.ask(TON)
    for number in range(5):
        shop.chain.fund(shop.address, TON, f"noise {number}")
    shop.pay(TON, payment.memo)
    shop.sweep()
    assert (shop.state(payment), len(shop.arrivals())) == ("confirmed", 6)


@pytest.fixture
def short_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pages of three transactions a sweep."""
    monkeypatch.setattr(ton_payments, "PAGE", 3)
    monkeypatch.setattr(ton_payments, "PAGES", 2)


def a_long_way(shop: TonShop, noise: int) -> Payment:
    """A deposit that is buried under many transfers."""
    payment = shop.ask(TON)
    shop.sweep()
    shop.pay(TON, payment.memo)
    for number in range(noise):
        shop.chain.fund(shop.address, TON, f"noise {number}")
    return payment


def test_a_walk_too_long_for_one_sweep_goes_on_and_nothing_is_decided_before_its_end(shop: TonShop, short_walks: None) -> None:
    payment = a_long_way(shop, 13)
    shop.sweep()
    assert {state for state, *_ in shop.arrivals()} == {"found"} and len(shop.arrivals()) == 6
    shop.chain.fund(shop.address, TON, "newer than the walk")
    shop.sweep()
    assert ({state for state, *_ in shop.arrivals()}, shop.balance()) == ({"found"}, 0)
    shop.sweep()
    assert (shop.balance(), shop.state(payment), len(shop.arrivals())) == (TON, "confirmed", 14)
    shop.sweep()
    assert {state for state, *_ in shop.arrivals()} == {"matched", "unclaimed"} and len(shop.arrivals()) == 15
    shop.assert_books_agree()


def test_a_walk_that_comes_to_another_chain_is_forgotten_and_begun_again(shop: TonShop, short_walks: None) -> None:
    payment = a_long_way(shop, 13)
    shop.sweep()
    hidden = shop.chain.transactions(shop.address)[8]["transaction_id"]["hash"]
    shop.chain.faults(hide=[hidden])
    shop.sweep()
    assert (shop.arrivals(), shop.balance()) == ([], 0), "a link is missing: nothing that the walk found is believed"
    for _ in range(4):
        shop.sweep()
    assert (shop.balance(), shop.state(payment)) == (0, "open")
    shop.chain.heal()
    for _ in range(3):
        shop.sweep()
    assert (shop.balance(), shop.state(payment), len(shop.arrivals())) == (TON, "confirmed", 14)
    shop.assert_books_agree()


@pytest.mark.parametrize(
    "fault",
    [
        {"breaks": "error"}, {"breaks": "refuse"}, {"breaks": "garbage"}, {"breaks": "html"}, {"breaks": "close"},
        {"breaks": "garbage", "methods": ["getTransactions"]}, {"lag_blocks": 50}, {"hide_last": 1},
        {"claim_hash": "A" * 43 + "="},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_the_server_does_a_deposit_is_undecided_and_later_found(shop: TonShop, fault: dict) -> None:
    payment = shop.ask(TON)
    shop.sweep()
    before = shop.ask(3 * TON)
    shop.pay(3 * TON, before.memo)
    shop.sweep()
    shop.chain.advance(60)
    shop.pay(TON, payment.memo)
    shop.chain.faults(**fault)
    for _ in range(3):
        try:
            shop.sweep()
        except ChainUnavailable:
            pass
    assert (shop.state(payment), shop.balance(), shop.shown(payment)) == ("open", 3 * TON, [])
    shop.chain.heal()
    shop.sweep()
    assert (shop.state(payment), shop.balance()) == ("confirmed", 4 * TON)
    shop.assert_books_agree()


def test_a_server_that_lags_behind_what_was_read_changes_nothing(shop: TonShop) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    shop.sweep()
    shop.chain.advance(10)
    shop.chain.faults(lag_blocks=12)
    for _ in range(3):
        shop.sweep()
    assert (shop.balance(), len(shop.arrivals())) == (TON, 1)
    with shop.database.unit_of_work() as session:
        unread = {item.labels["chain"]: item.value for item in figures.read(session, 90) if item.name == "chain_unread_seconds"}
    assert unread["ton"] > 100, "and the dashboard says so"
    shop.chain.heal()
    shop.sweep()
    assert (shop.balance(), len(shop.arrivals())) == (TON, 1)


def test_a_chain_that_forked_back_is_not_believed_until_it_is_what_it_was(shop: TonShop) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    shop.sweep()
    later = shop.ask(TON)
    shop.chain.fork(3)
    shop.sweep()
    assert (shop.balance(), shop.state(payment)) == (TON, "confirmed"), "what was booked stays booked"
    shop.pay(TON, later.memo)
    for _ in range(3):
        shop.sweep()
    assert (shop.balance(), shop.state(later)) == (TON, "open"), "on another chain than the one that was read nothing counts"
    shop.assert_books_agree()


def test_a_master_that_does_not_answer_leaves_the_wallet_undecided(shop: TonShop) -> None:
    wrong = replace(shop.hub, masters={shop.read(shop.payer): "USDT"})
    right, shop.hub = shop.hub, wrong
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    shop.sweep()
    assert (shop.arrivals(), shop.state(payment)) == ([], "open")
    shop.hub = right
    shop.sweep()
    assert shop.state(payment) == "confirmed"


def test_a_job_is_paid_on_ton_to_its_provider(shop: TonShop) -> None:
    market = Marketplace(shop.database)
    job_id, _ = market.unpaid_job()
    farm = shop.chain.wallet("farm")
    with shop.database.unit_of_work() as session:
        job = session.get_one(Job, job_id)
        old = payments.of_job(session, job_id)
        assert old is not None
        session.delete(old)
        session.flush()
        job.asset = "TON"
        payment = payments.ask(session, job, shop.read(farm).raw, "ton", "rayment:")
        memo, price = payment.memo, payment.amount_minor
    shop.chain.pay("alice", farm, price - 1, memo)
    shop.chain.pay("alice", farm, price, memo)
    shop.chain.pay("alice", farm, TON, "the farm's own business")
    shop.sweep()
    with shop.database.unit_of_work() as session:
        job, found = session.get_one(Job, job_id), payments.of_job(session, job_id)
        assert found is not None and (found.state, job.payment_state) == ("confirmed", "confirmed")
        assert job.client_wallet == shop.read(shop.payer).raw
        refunds = session.query(Refund).all()
        assert [(item.reason, item.amount_minor, item.asset) for item in refunds] == [("short", price - 1, "TON")]
    assert shop.held(Party("external", market.owner_id)) == 2 * price - 1
    assert [state for state, *_ in shop.arrivals()] == ["matched", "matched"], "what is not ours is not written down"


def test_a_transaction_that_somebody_showed_is_decided_by_the_walk(shop: TonShop) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    hash = shop.ton.account(shop.wallet).last_hash
    with shop.database.unit_of_work() as session:
        payments.present(session, session.get_one(Payment, payment.id), hash)
        assert session.query(OutboxMessage).count() == 0, "nobody is sent to ask Solana about it"
        assert payments.pending(session) == [] and len(payments.pending(session, chain="ton")) == 1
    shop.sweep()
    assert shop.shown(payment) == [("accepted", None, TON)]


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_anywhere_leaves_a_deposit_credited_once(shop: TonShop, tmp_path: Path, point: str) -> None:
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    shop.pay(TON, "and one of nobody")
    (tmp_path / point).touch()
    environment = os.environ | {"LIGHTYARD_FAILPOINTS_FOLDER": str(tmp_path)}
    database_url = shop.database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.flows.ton_process", database_url, shop.chain.api_url]
    command += [shop.wallet.raw, shop.master.raw]
    died = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert (shop.balance(), shop.state(payment)) == (0, "open")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (shop.balance(), shop.state(payment), shop.held(Party("unclaimed"))) == (TON, "confirmed", TON)
    shop.assert_books_agree()


def test_a_heap_of_accounts_that_cannot_be_read_keeps_a_deposit_waiting_not_for_ever(
    shop: TonShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty accounts are read in a sweep. Those that can't be are unread the longest, and must not fill it each time."""
    payment = shop.ask(TON)
    shop.pay(TON, payment.memo)
    head = ton_payments._head

    def choke(ton: ton_payments.Ton, address: TonAddress) -> ton_payments.Place:
        if address != shop.wallet:
            raise ChainUnreadable("more than is read")
        return head(ton, address)

    monkeypatch.setattr(ton_payments, "_head", choke)
    monkeypatch.setattr(ton_payments, "_jettons", lambda *_: {})
    with shop.database.unit_of_work() as session:
        for number in range(50):
            chain_cursors.watch(session, "ton", TonAddress(0, number.to_bytes(32)).raw)
        others = ChainCursor.address != shop.wallet.raw
        session.execute(update(ChainCursor).where(others).values(read_at=clock.now() - timedelta(days=30)))
    for _ in range(20):
        shop.sweep()
        if shop.balance():
            break
    assert shop.balance() == TON
