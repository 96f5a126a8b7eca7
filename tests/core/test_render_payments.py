"""Paying for a render: before it begins or before it is downloaded, from the chain or the balance, and what goes wrong."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from solders.keypair import Keypair

from app.core import audit, ledger, payments, redeem, render_orders, render_payments
from app.core.ledger import Party
from app.core.payments import Decision
from app.core.solana_hub import SolanaHub
from app.db import Database
from app.errors import Conflict, InvalidInput, PaymentRequired
from app.models.jobs import Job
from app.models.nodes import Node
from app.models.payments import ChainTransaction, Payment
from app.values import memos
from app.values.money import Money, parse
from tests.factories.payouts import LOCAL_MINTS
from tests.factories.render_market import Renders
from tests.factories.task_market import Hours, moving_clock

HUB = SolanaHub(str(Keypair().pubkey()), LOCAL_MINTS)


class Till(Renders):
    """A market, and what the chain says of payments."""

    def ask(self, job_id: uuid.UUID) -> Payment:
        with self.database.unit_of_work() as session:
            job, _ = render_orders.lock_own(session, self.account_id, job_id)
            return render_payments.ask(session, HUB, job, 900)

    def arrives(
        self, payment: Payment, minor: int | None = None, state: str = "accepted", code: str | None = None
    ) -> ChainTransaction:
        """A transaction with the payment's memo, as the chain's judge found it."""
        received = payment.amount_minor if minor is None else minor
        self.brought += Money(received, self.asset)
        with self.database.unit_of_work() as session:
            asked = session.get_one(Payment, payment.id)
            shown = payments.note_shown(session, asked, uuid.uuid4().hex)
            return payments.decide(session, shown.id, Decision(state, code, None, received, "payer"))

    def pay(self, job_id: uuid.UUID, account_id: uuid.UUID | None = None) -> Payment:
        with self.database.unit_of_work() as session:
            return render_payments.pay_from_balance(session, account_id or self.account_id, job_id, 900)

    def render_all(self, node_id: uuid.UUID, hours: Hours) -> None:
        while taken := self.claim(node_id, 64):
            hours.wait(5)
            self.complete(taken)


@pytest.fixture
def till(database: Database) -> Till:
    return Till(database, balance="0", asset="USDC")


@pytest.fixture
def hours() -> Iterator[Hours]:
    with moving_clock() as found:
        yield found


def test_a_prepaid_job_begins_with_its_payment_and_not_before(till: Till, hours: Hours) -> None:
    node, job_id = till.node(), till.place(10, mode="prepay")
    payment = till.ask(job_id)
    assert (payment.asset, payment.amount_minor, payment.pay_to, payment.mint) == ("USDC", 10**6, HUB.wallet, LOCAL_MINTS["USDC"])
    assert payment.memo == memos.short("rnp:", payment.id) and memos.MEMO.findall(f"[24] {payment.memo}") == [payment.memo]
    assert till.ask(job_id).id == payment.id and till.claim(node, 64) == []
    till.arrives(payment, payment.amount_minor + 7)
    assert till.balance() == Money(7, "USDC") and till.balance("held") == parse("1", "USDC")
    with pytest.raises(Conflict) as refused:
        till.ask(job_id)
    assert refused.value.code == "JOB_PAID"
    till.render_all(node, hours)
    job = till.job(job_id)
    assert (job.state, job.payment_state) == ("completed", "confirmed")
    assert till.balance() == parse("0.500007", "USDC"), "what the frames did not cost is the payer's again, in its own asset"
    till.assert_conserved(job_id, node)


def test_what_is_short_late_or_doubled_is_on_the_balance_and_pays_from_there(till: Till) -> None:
    job_id = till.place(10, mode="prepay")
    payment = till.ask(job_id)
    assert "on the balance" in str(till.arrives(payment, 400_000, "refundable", "short").message)
    till.arrives(payment, 10**6, "refundable", "expired")
    assert till.job(job_id).payment_state == "pending" and till.balance() == parse("1.4", "USDC")
    till.pay(job_id)
    assert till.job(job_id).payment_state == "confirmed" and till.balance() == parse("0.4", "USDC")
    again = till.arrives(payment)
    assert (again.state, again.code) == ("refundable", "already_paid")
    assert till.balance() == parse("1.4", "USDC")
    till.assert_conserved(job_id)


def test_a_quote_is_not_kept_for_ever_by_asking_again(till: Till, hours: Hours) -> None:
    job_id = till.place(10, mode="prepay")
    payment = till.ask(job_id)
    for _ in range(4):
        hours.wait(900)
        assert till.ask(job_id).expires_at > payment.expires_at
    hours.wait(1)
    for act in (till.ask, till.pay):
        with pytest.raises(Conflict) as refused:
            act(job_id)
        assert refused.value.code == "QUOTE_EXPIRED"
    till.arrives(payment)
    assert till.job(job_id).payment_state == "confirmed", "what was sent in time still counts"


def test_a_job_that_was_called_off_takes_no_money(till: Till) -> None:
    job_id = till.place(10, mode="prepay")
    payment = till.ask(job_id)
    with till.database.unit_of_work() as session:
        render_orders.cancel(session, till.account_id, job_id)
    shown = till.arrives(payment)
    assert (shown.state, shown.code) == ("refundable", "job_over") and "on the balance" in str(shown.message)
    assert till.balance() == parse("1", "USDC")
    for act in (till.ask, till.pay):
        with pytest.raises(Conflict) as refused:
            act(job_id)
        assert refused.value.code == "JOB_OVER"


def test_a_render_paid_before_download_pays_its_nodes_then(till: Till, hours: Hours) -> None:
    nodes, job_id = [till.node(), till.node()], till.place(10, mode="pay_before_download")
    with pytest.raises(Conflict) as refused:
        till.pay(job_id)
    assert refused.value.code == "JOB_NOT_FINISHED"
    first = till.claim(nodes[0], 3)
    hours.wait(5)
    till.complete(first)
    till.render_all(nodes[1], hours)
    order = till.order(job_id)
    assert (till.job(job_id).state, order.charged_minor, order.settled_at) == ("completed", 500_000, None)
    assert [till.earned(node).minor for node in nodes] == [0, 0]
    payment = till.ask(job_id)
    assert payment.amount_minor == 500_000
    till.arrives(payment)
    assert [till.earned(node).minor for node in nodes] == [142_500, 332_500]
    assert till.order(job_id).settled_at is not None
    till.assert_conserved(job_id, *nodes)
    with pytest.raises(Conflict):
        till.pay(job_id)


def test_who_renders_for_credits_has_render_that_a_chain_knows(database: Database, hours: Hours) -> None:
    """Whenever it is paid, and whichever node it was: else nobody could pay out what it has earned."""
    till = Till(database, balance="3", asset="RCREDIT")
    node, later = till.node(), till.place(10, mode="pay_before_download")
    till.render_all(node, hours)
    payment = till.ask(later)
    assert (payment.asset, payment.amount_minor) == ("RENDER", 50_000_000)
    now = till.place(10)
    till.render_all(node, hours)
    till.pay(later)
    with database.unit_of_work() as session:
        account = Party("balance", session.get_one(Node, node).account_id)
        assert ledger.balance(session, account, "RENDER") == parse("0.95", "RENDER")
        assert ledger.balance(session, account, "RCREDIT").minor == 0
        assert ledger.balance(session, Party("exchange"), "RCREDIT") == parse("0.95", "RCREDIT")
    for job_id in (now, later):
        till.assert_conserved(job_id, node)


def test_credits_are_paid_in_render_one_for_one(database: Database) -> None:
    till = Till(database, balance="0.2", asset="RCREDIT")
    job_id = till.place(10, mode="prepay")
    payment = till.ask(job_id)
    assert (payment.asset, payment.amount_minor) == ("RENDER", 10**8)
    with pytest.raises(PaymentRequired) as refused:
        till.pay(job_id)
    assert refused.value.details == {"available": "0.20000000", "requested": "1.00000000"}
    till.arrives(payment)
    assert (till.balance(), till.balance("held")) == (parse("0.2", "RCREDIT"), parse("1", "RCREDIT"))
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", till.account_id), "RENDER").minor == 0
        assert audit.differences(session) == []


def test_two_who_pay_at_once_pay_once(till: Till, hours: Hours) -> None:
    with till.database.unit_of_work() as session:
        ledger.post(session, Party("chain"), Party("balance", till.account_id), parse("2", "USDC"), "test:both")
    till.brought += parse("2", "USDC")
    node, job_id = till.node(), till.place(4, mode="pay_before_download")
    till.render_all(node, hours)
    payment = till.ask(job_id)

    def pay(turn: int) -> bool:
        try:
            till.pay(job_id) if turn % 2 else till.arrives(payment)
            return True
        except Conflict:
            return False

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(pay, range(4)))
        assert done[0] and done[2] and sum(done) in (2, 4), "two from the balance are the same payment, or too late both"
    assert till.earned(node) == parse("0.19", "USDC")
    till.assert_conserved(job_id, node)


def test_redeemed_once_under_one_id_and_never_more_than_is_there(database: Database) -> None:
    till = Till(database, balance="3", asset="RENDER")
    key = uuid.uuid4()

    def turn(amount: Money, name: uuid.UUID) -> Money:
        with database.unit_of_work() as session:
            return redeem.redeem(session, till.account_id, amount, name)

    assert turn(parse("1.00000001", "RENDER"), key) == turn(parse("1.00000001", "RENDER"), key) == Money(100_000_001, "RCREDIT")
    assert till.balance() == parse("1.99999999", "RENDER")
    with pytest.raises(PaymentRequired):
        turn(parse("2", "RENDER"), uuid.uuid4())
    for wrong in (parse("0", "RENDER"), Money(-1, "RENDER"), parse("1", "USDC")):
        with pytest.raises(InvalidInput):
            turn(wrong, uuid.uuid4())
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("balance", till.account_id), "RCREDIT") == Money(100_000_001, "RCREDIT")
        assert audit.differences(session) == []


def test_a_strangers_job_is_none(till: Till) -> None:
    job_id = till.place(2, mode="prepay")
    with pytest.raises(Exception, match="no such job of yours"):
        till.pay(job_id, till.account("5"))
    with till.database.unit_of_work() as session:
        assert session.get_one(Job, job_id).payment_state == "pending"
