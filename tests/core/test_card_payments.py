"""Payments by card in whatever order Stripe tells of them: credited once, taken back in proportion, never lost."""

import itertools
import json
import random
import threading
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from app.config import Settings
from app.core import accounts, audit, card_payments, credit_holds, credits, ledger
from app.core.card_payments import Terms
from app.core.ledger import Party
from app.db import Database, make_engine
from app.errors import Conflict, NotFound
from app.models.card_payments import CardEvent, CardPayment
from app.values import clock
from app.values.money import Money
from app.values.packages import read_packages
from tests.factories import stripe_events as stripe
from tests.factories.market import Marketplace

TERMS = Terms(read_packages("cred10=100,cred50=500", Decimal("0.10")), "usd", is_live=False)
WHOLE = 1_000_000  # cred10 in minor units
Event = dict[str, Any]


class Shop:
    """A buyer, and what Stripe tells of his payments."""

    def __init__(self, database: Database) -> None:
        self.database, self.payment = database, stripe.new_payment()
        with database.unit_of_work() as session:
            self.buyer = accounts.ensure_identity(session, "email", uuid.uuid4().hex)

    def tell(self, *events: Event, terms: Terms = TERMS) -> list[str]:
        outcomes = []
        for event in events:
            with self.database.unit_of_work() as session:
                outcomes.append(card_payments.take(session, event, json.dumps(event), terms))
        return outcomes

    def bought(self, **changes: Any) -> Event:
        return stripe.event("checkout.session.completed", stripe.session(self.payment, self.buyer, **changes))

    def refunded(self, sum_minor: int, at: int = 0) -> Event:
        return stripe.event("charge.refunded", stripe.charge(self.payment, sum_minor), 1_800_000_000 + at)

    def refund(self, name: str, amount_minor: int, status: str, at: int = 0) -> Event:
        kind = "refund.created" if at == 0 else "refund.failed" if status == "failed" else "refund.updated"
        return stripe.event(kind, stripe.refund(self.payment, name, amount_minor, status), 1_800_000_000 + at)

    def dispute(self, status: str, at: int = 0, amount_minor: int = 1000) -> Event:
        kind = "charge.dispute.closed" if status in ("won", "lost") else "charge.dispute.created"
        return stripe.event(kind, stripe.dispute(self.payment, amount_minor, status), 1_800_000_000 + at)

    def spend(self, minor: int) -> None:
        with self.database.unit_of_work() as session:
            credits.deduct(session, self.buyer, Money(minor, "CREDIT"), uuid.uuid4().hex)

    def has(self) -> tuple[int, int]:
        """(balance, debt), and the books agree."""
        with self.database.unit_of_work() as session:
            assert audit.differences(session) == []
            found = [ledger.balance(session, Party(kind, self.buyer), "CREDIT").minor for kind in ("balance", "debt")]
        return found[0], found[1]

    def problems(self) -> list[CardEvent]:
        with self.database.unit_of_work() as session:
            return list(card_payments.problems(session))


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_a_payment_counts_once_whatever_tells_of_it(shop: Shop) -> None:
    named = {"client_reference_id": str(shop.buyer), "sku": "cred10"}
    events = [
        shop.bought(),
        stripe.event("checkout.session.async_payment_succeeded", stripe.session(shop.payment, shop.buyer)),
        stripe.event("payment_intent.succeeded", stripe.intent(shop.payment)),
        stripe.event("payment_intent.succeeded", stripe.intent(shop.payment, **named)),
    ]
    for order in itertools.permutations(events):
        again = [{**event, "id": uuid.uuid4().hex} for event in order]
        assert set(shop.tell(*order, *again)) == {"applied"}
        assert shop.has() == (WHOLE, 0)


def test_an_intent_that_names_buyer_and_sku_is_enough(shop: Shop) -> None:
    named = {"client_reference_id": str(shop.buyer), "sku": "cred10"}
    assert shop.tell(stripe.event("payment_intent.succeeded", stripe.intent(shop.payment, **named))) == ["applied"]
    assert shop.has() == (WHOLE, 0)


def test_refunds_take_their_part_and_the_rest_is_owed(shop: Shop) -> None:
    shop.tell(shop.bought(), shop.refunded(250))
    assert shop.has() == (750_000, 0)
    shop.spend(700_000)
    shop.tell(shop.refunded(1000, at=5))
    assert shop.has() == (0, -700_000)
    with shop.database.unit_of_work() as session:
        sources = [(item.direction, item.purpose) for item in credits.history(session, shop.buyer, 10, 0)]
    assert sources == [("DEBIT", "refund"), ("DEBIT", "usage"), ("DEBIT", "refund"), ("CREDIT", "purchase")]
    shop.payment = stripe.new_payment()
    shop.tell(shop.bought())
    assert shop.has() == (300_000, 0), "what was owed is paid from the next purchase"


def test_held_credits_that_come_back_pay_what_is_owed(shop: Shop) -> None:
    shop.tell(shop.bought())
    job_id, _ = Marketplace(shop.database).unpaid_job()
    with shop.database.unit_of_work() as session:
        credit_holds.hold(session, shop.buyer, job_id, Money(600_000, "CREDIT"), "a job")
    shop.tell(shop.refunded(1000))
    assert shop.has() == (0, -600_000)
    with shop.database.unit_of_work() as session:
        credit_holds.release(session, job_id, "cancelled")
        assert {name: item.minor for name, item in credits.balances(session, shop.buyer).items()} == dict.fromkeys(
            ("balance", "held", "owed"), 0
        )
    assert shop.has() == (0, 0)


def test_a_refund_that_comes_first_is_remembered(shop: Shop) -> None:
    assert shop.tell(shop.refunded(400), shop.refund("a", 400, "succeeded")) == ["applied", "applied"]
    assert shop.has() == (0, 0)
    shop.tell(shop.bought())
    assert shop.has() == (600_000, 0)


def test_a_refund_that_fails_gives_the_credits_back(shop: Shop) -> None:
    shop.tell(shop.bought(), shop.refund("a", 1000, "pending"), shop.refunded(1000, at=1))
    assert shop.has() == (0, 0)
    shop.tell(shop.refund("a", 1000, "failed", at=9))
    assert shop.has() == (WHOLE, 0)


def test_a_dispute_takes_the_credits_until_it_is_won(shop: Shop) -> None:
    shop.tell(shop.bought(), shop.dispute("warning_needs_response"))
    assert shop.has() == (WHOLE, 0), "an inquiry takes no money"
    shop.spend(400_000)
    shop.tell(shop.dispute("needs_response", at=1))
    assert shop.has() == (0, -400_000)
    shop.tell(shop.dispute("under_review", at=2), shop.dispute("won", at=3), shop.dispute("needs_response", at=1))
    assert shop.has() == (600_000, 0)
    shop.tell(shop.dispute("lost", at=4), shop.refunded(1000, at=5))
    assert shop.has() == (0, -400_000), "never more than was bought"


NAMES = st.sampled_from("ab")
AMOUNTS = st.sampled_from([0, 1, 250, 333, 500, 1000])
TIMES = st.integers(0, 3)
TOLD = st.one_of(
    st.tuples(st.just("bought")),
    st.tuples(st.just("intent")),
    st.tuples(st.just("refunded"), AMOUNTS, TIMES),
    st.tuples(st.just("refund"), NAMES, st.sampled_from(["pending", "succeeded", "failed", "canceled"]), TIMES),
    st.tuples(st.just("dispute"), st.sampled_from(["warning_closed", "needs_response", "under_review", "won", "lost"]), TIMES),
    st.tuples(st.just("dispute"), st.sampled_from(["warning_needs_response", "prevented"]), TIMES),
)


def as_event(shop: Shop, told: tuple[Any, ...]) -> Event:
    name, *rest = told
    if name == "bought":
        return shop.bought()
    if name == "intent":
        return stripe.event("payment_intent.succeeded", stripe.intent(shop.payment))
    if name == "refunded":
        return shop.refunded(*rest)
    if name == "refund":
        return shop.refund(rest[0], {"a": 250, "b": 500}[rest[0]], rest[1], rest[2])
    return shop.dispute(rest[0], rest[1], 333)


@given(told=st.lists(TOLD, max_size=9), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_order_nor_repetition_matters(database: Database, told: list[tuple[Any, ...]], seed: int) -> None:
    rng, found = random.Random(seed), []
    for is_shuffled in (False, True):
        shop = Shop(database)
        events = [as_event(shop, item) for item in told]
        if is_shuffled:
            events = [*events, *rng.choices(events, k=len(events) if events else 0)]
            rng.shuffle(events)
        assert "problem" not in shop.tell(*events)
        found.append(shop.has())
    assert found[0] == found[1]
    assert found[0][0] in range(0, WHOLE + 1) and found[0][1] == 0


@pytest.mark.parametrize("round_number", range(8))
def test_processes_at_once_credit_once(database: Database, database_url: str, round_number: int) -> None:
    """Eight connections of two engines, each with the same events in an order of its own."""
    shop = Shop(database)
    named = {"client_reference_id": str(shop.buyer), "sku": "cred10"}
    events = [
        shop.bought(),
        stripe.event("payment_intent.succeeded", stripe.intent(shop.payment, **named)),
        shop.refunded(250),
        shop.refund("a", 250, "succeeded"),
        shop.refund("b", 250, "succeeded", at=2),
        *(shop.dispute("needs_response", at, 2 * at) for at in range(10)),
        shop.dispute("won", 10),
    ]
    second = Database(make_engine(Settings(database_url=database_url)))
    start, errors = threading.Barrier(8), []

    def run(index: int) -> None:
        order = [*events, *events]
        random.Random(index + 8 * round_number).shuffle(order)
        twin = Shop.__new__(Shop)
        twin.database = second if index % 2 else database
        start.wait(30)
        try:
            twin.tell(*order)
        except Exception as error:  # noqa: BLE001  shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    second.engine.dispose()
    assert errors == []
    assert shop.has() == (500_000, 0)
    with database.unit_of_work() as session:
        assert session.scalar(select(func.count()).select_from(CardEvent)) == len(events)
        assert session.scalar(select(func.count()).select_from(CardPayment)) == 1


WRONG = {
    "UNKNOWN_USER": {"client_reference_id": str(uuid.UUID(int=7))},
    "UNKNOWN_SKU": {"metadata": {"sku": "cred11"}},
    "WRONG_CURRENCY": {"currency": "eur"},
    "WRONG_AMOUNT": {"amount_total": 999},
    "UNREADABLE": {"payment_intent": None},
}


@pytest.mark.parametrize("code", WRONG)
def test_what_cannot_be_credited_is_kept_for_the_operator(shop: Shop, code: str) -> None:
    event = shop.bought(**WRONG[code])
    assert shop.tell(event, event) == ["problem", "problem"]
    (row,) = shop.problems()
    assert (row.id, row.code) == (event["id"], code) and json.loads(row.body or "") == event
    assert shop.has() == (0, 0)


@pytest.mark.parametrize("buyer", [None, "", "jane", "0" * 255, "{}"])
def test_a_buyer_that_is_no_id_is_a_problem(shop: Shop, buyer: str | None) -> None:
    assert shop.tell(shop.bought(client_reference_id=buyer)) == ["problem"]
    assert shop.problems()[0].code in ("UNKNOWN_USER", "UNREADABLE")


def test_live_and_test_money_are_not_mixed(shop: Shop) -> None:
    live = {**shop.bought(), "livemode": True}
    assert shop.tell(live, {**shop.bought(), "livemode": None}) == ["problem", "problem"]
    assert {row.code for row in shop.problems()} == {"LIVEMODE"}
    assert shop.tell(live, terms=Terms(TERMS.packages, "usd", is_live=True)) == ["applied"], "sent again, after it was mended"
    assert shop.has() == (WHOLE, 0)


def test_a_checkout_that_names_payment_buyer_and_sku_alone_is_credited_once(shop: Shop) -> None:
    buyer = {"client_reference_id": str(shop.buyer), "metadata": {"sku": "cred10"}}
    said = {"payment_intent": shop.payment, "payment_status": "paid", **buyer}
    first = {"id": "evt_of_few_words", "type": "checkout.session.completed", "data": {"object": said}}
    assert shop.tell(first, first, {**first, "id": "evt_of_few_words_2"}) == ["applied"] * 3
    assert shop.has() == (WHOLE, 0)
    unpaid = {**first, "id": "evt_of_few_words_3", "data": {"object": {**said, "payment_status": "unpaid"}}}
    assert shop.tell(unpaid, {**shop.refunded(500), "created": None}, shop.refunded(500)) == ["ignored", "problem", "applied"]
    assert shop.has() == (WHOLE // 2, 0), "half of the package's price went back"


def test_a_second_buyer_of_one_payment_is_a_problem(shop: Shop) -> None:
    other = Shop(shop.database)
    shop.tell(shop.bought())
    assert shop.tell(shop.bought(client_reference_id=str(other.buyer))) == ["problem"]
    assert shop.problems()[0].code == "CONTRADICTION"
    assert (shop.has(), other.has()) == ((WHOLE, 0), (0, 0))


def test_the_operator_tries_again_or_puts_away(shop: Shop) -> None:
    first, second = shop.bought(metadata={"sku": "new"}), shop.bought(currency="eur")
    shop.tell(first, second)
    wider = Terms({**TERMS.packages, **read_packages("new=100", Decimal("0.10"))}, "usd", is_live=False)
    with shop.database.unit_of_work() as session:
        assert card_payments.retry(session, first["id"], first, TERMS).outcome == "problem"
        row = card_payments.retry(session, first["id"], first, wider)
        assert (row.outcome, row.body) == ("applied", None)
        card_payments.put_away(session, second["id"])
    assert shop.problems() == [] and shop.has() == (WHOLE, 0)
    assert shop.tell(second) == ["problem"] and shop.problems() == []
    with shop.database.unit_of_work() as session:
        with pytest.raises(NotFound):
            card_payments.problem(session, first["id"])
        with pytest.raises(Conflict):
            card_payments.put_away(session, second["id"])


def test_a_payment_nobody_was_credited_for_is_shown_after_a_while(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.tell(stripe.event("payment_intent.succeeded", stripe.intent(shop.payment)))
    now = clock.now()
    for later, expected in ((timedelta(minutes=5), 0), (timedelta(hours=2), 1)):
        monkeypatch.setattr(clock, "now", lambda later=later: now + later)
        with shop.database.unit_of_work() as session:
            assert len(card_payments.uncredited(session)) == expected
