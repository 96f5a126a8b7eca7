"""The money of a render that is paid frame by frame: held, charged as frames come in, capped, given back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from app.core import audit, jobs, ledger, outcomes, render_orders, stale_jobs
from app.core.claims import Claim
from app.core.ledger import Party
from app.db import Database
from app.errors import Conflict, PaymentRequired
from app.models.jobs import Job
from app.models.nodes import Node
from app.models.render_orders import RenderHold, RenderOrder
from app.values.money import parse
from tests.factories.render_market import LIMITS, SETTINGS, Renders
from tests.factories.task_market import moving_clock


@pytest.fixture
def renders(database: Database) -> Renders:
    return Renders(database)


def test_frames_are_charged_as_they_come_in_and_what_is_left_comes_back(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(10)
        assert renders.balance("held") == parse("1", "RCREDIT")
        first = renders.claim(node, 64)
        assert [item.frame for item in first] == [1, 6, 10, 2]  # first, middle, last, and no more than the window
        hours.wait(5)
        assert renders.complete(first) == 4
        renders.assert_conserved(job_id, node)
        assert renders.order(job_id).charged_minor == parse("0.2", "RCREDIT").minor
        for _ in range(2):
            rest = renders.claim(node, 64)
            hours.wait(5)
            renders.complete(rest)
        job = renders.job(job_id)
        assert (job.state, job.units_completed, job.payment_state) == ("completed", 10, "confirmed")
        assert renders.balance("held").minor == 0
        assert renders.balance() == parse("99.5", "RCREDIT")
        assert renders.earned(node) == parse("0.475", "RCREDIT")
        with renders.database.unit_of_work() as session:
            payee = Party("balance", session.get_one(Node, node).account_id)
            assert ledger.balance(session, payee, "RENDER") == parse("0.475", "RENDER"), "credits are no node's wages"
        renders.assert_conserved(job_id, node)


def test_frames_that_take_too_long_cost_what_was_quoted_and_no_more(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(8)
        while taken := renders.claim(node, 64):
            hours.wait(50)
            renders.complete(taken)
        assert renders.job(job_id).state == "completed"
        assert renders.balance() == parse("99.2", "RCREDIT")
        assert {unit.cost_minor for unit in renders.units(job_id)} == {parse("0.1", "RCREDIT").minor}
        renders.assert_conserved(job_id, node)


def test_a_cap_pauses_the_job_before_it_is_crossed_and_a_higher_one_goes_on(renders: Renders) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(10, max_amount=parse("0.35", "RCREDIT"))
        while taken := renders.claim(node, 64):
            hours.wait(35)
            renders.complete(taken)
        job = renders.job(job_id)
        assert (job.state, job.reason_code, job.units_completed) == ("paused", "MAX_AMOUNT_REACHED", 3)
        renders.assert_conserved(job_id, node)
        with pytest.raises(Conflict, match="raise it"), renders.database.unit_of_work() as session:
            render_orders.resume(session, renders.account_id, job_id)
        with renders.database.unit_of_work() as session:
            render_orders.set_cap(session, renders.account_id, job_id, parse("5", "RCREDIT"))
        while taken := renders.claim(node, 64):
            hours.wait(35)
            renders.complete(taken)
        assert renders.job(job_id).state == "completed"
        assert renders.balance() == parse("99", "RCREDIT")
        renders.assert_conserved(job_id, node)


def test_a_cap_takes_nothing_from_the_frames_that_it_holds_up(renders: Renders) -> None:
    """However long the first ones took: when it is raised, whoever renders the others is paid for them, too."""
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(10, max_amount=parse("0.45", "RCREDIT"), window_units=1)
        for cap in ("5", "5"):
            while taken := renders.claim(node, 64):
                hours.wait(35)
                renders.complete(taken)
            with renders.database.unit_of_work() as session:
                if renders_on := session.get_one(Job, job_id).state == "paused":
                    render_orders.set_cap(session, renders.account_id, job_id, parse(cap, "RCREDIT"))
        assert not renders_on
        assert [unit.cost_minor for unit in renders.units(job_id)] == [parse("0.1", "RCREDIT").minor] * 10
        renders.assert_conserved(job_id, node)


def test_a_raised_cap_owes_no_more_than_an_account_may(renders: Renders) -> None:
    cap = parse("0.1", "RCREDIT")
    job_id = renders.place(100, mode="pay_before_download", max_amount=cap)

    def raised(to: str, most: str) -> int:
        with renders.database.unit_of_work() as session:
            render_orders.set_cap(session, renders.account_id, job_id, parse(to, "RCREDIT"), parse(most, "RENDER"))
        return renders.order(job_id).limit_minor

    for to, most in (("10", "5"), ("0.2", "0")):
        with pytest.raises(PaymentRequired) as refused:
            raised(to, most)
        assert refused.value.code == "UNPAID_LIMIT"
    assert raised("5", "5") == parse("5", "RCREDIT").minor
    with pytest.raises(PaymentRequired) as refused:
        raised("5.00000001", "5")
    assert refused.value.details["available"] == "0.00000000"
    assert raised("4", "0") == parse("4", "RCREDIT").minor


def test_nodes_that_work_for_the_same_clients_never_wait_in_a_ring(database: Database) -> None:
    """Each books results of many clients' jobs at once, in the order of the jobs: that of their money is another one."""
    renders = Renders(database)
    nodes, owners = [renders.node() for _ in range(4)], [renders.account("9") for _ in range(6)]
    for turn in range(24):
        renders.place(4, account_id=owners[turn * 5 % 6], window_units=4)
    taken = [renders.claim(node, 24) for node in nodes]
    gate = threading.Barrier(len(nodes))

    def book(mine: list[Claim]) -> int:
        gate.wait()
        return renders.complete(mine)

    with ThreadPoolExecutor(len(nodes)) as pool:
        assert list(pool.map(book, taken)) == [24] * 4
    with database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_pause_hands_out_nothing_more_and_a_cancel_charges_what_is_done(renders: Renders) -> None:
    with moving_clock() as hours:
        node, other = renders.node(), renders.node()
        job_id = renders.place(10)
        taken = renders.claim(node, 2)
        with renders.database.unit_of_work() as session:
            render_orders.pause(session, renders.account_id, job_id)
        assert renders.claim(other, 64) == []
        hours.wait(5)
        assert renders.complete(taken) == 2
        assert renders.claim(node, 64) == []
        with renders.database.unit_of_work() as session:
            render_orders.resume(session, renders.account_id, job_id)
        late = renders.claim(other, 1)
        with renders.database.unit_of_work() as session:
            render_orders.cancel(session, renders.account_id, job_id)
        assert renders.complete(late) == 0
        assert renders.balance() == parse("99.9", "RCREDIT")
        assert renders.balance("held").minor == 0
        renders.assert_conserved(job_id, node, other)


def test_a_render_that_nobody_takes_ends_a_while_after_it_was_resumed(renders: Renders) -> None:
    with moving_clock() as hours:
        job_id = renders.place(10)
        hours.wait(1800)
        for verb in (render_orders.pause, render_orders.resume):
            with renders.database.unit_of_work() as session:
                verb(session, renders.account_id, job_id)
            hours.wait(3000)
        for expected in (0, 1):
            with renders.database.unit_of_work() as session:
                assert stale_jobs.fail_untaken_jobs(session, 3600) == expected
            hours.wait(3600)
        assert renders.job(job_id).reason_code == "NO_TAKER"
        assert renders.balance() == parse("100", "RCREDIT")


def test_what_a_node_gave_back_just_now_is_not_untaken_but_who_only_gives_back_takes_nothing(renders: Renders) -> None:
    with moving_clock() as hours:
        node, job_id = renders.node(), renders.place(1)

        def is_untaken() -> bool:
            [item] = renders.claim(node)
            hours.wait(4000)
            with renders.database.unit_of_work() as session:
                assert outcomes.release(session, item.attempt_id, item.fence)
            with renders.database.unit_of_work() as session:
                return stale_jobs.fail_untaken_jobs(session, 3600) == 1

        assert [is_untaken() for _ in range(stale_jobs.TRIES_MOST + 1)] == [False] * stale_jobs.TRIES_MOST + [True]
        assert renders.job(job_id).reason_code == "NO_TAKER"


def test_a_node_that_says_for_ever_that_it_is_at_work_loses_the_frame(renders: Renders) -> None:
    with moving_clock() as hours:
        liar, other, job_id = renders.node(), renders.node(), renders.place(1)
        [item] = renders.claim(liar)

        def sweep() -> int:
            with renders.database.unit_of_work() as session:
                assert jobs.renew(session, liar, [(item.attempt_id, item.fence, 0.5)], 60) == {item.attempt_id}
            with renders.database.unit_of_work() as session:
                return outcomes.expire_leases(session, LIMITS, most_seconds=4 * 3600)

        hours.wait(4 * 3600)
        assert sweep() == 0
        hours.wait(1)
        assert sweep() == 1
        assert renders.complete([item]) == 0
        assert renders.complete(renders.claim(other)) == 1
        assert renders.job(job_id).state == "completed"
        renders.assert_conserved(job_id, liar, other)


def test_a_lower_cap_does_not_take_an_owners_pause_for_its_own(renders: Renders) -> None:
    job_id = renders.place(10)

    def caps(amount: str) -> tuple[str, str | None]:
        with renders.database.unit_of_work() as session:
            job = render_orders.set_cap(session, renders.account_id, job_id, parse(amount, "RCREDIT"))
            return job.state, job.reason_code

    with renders.database.unit_of_work() as session:
        render_orders.pause(session, renders.account_id, job_id)
    assert caps("0.05") == caps("1") == ("paused", "PAUSED_BY_OWNER")
    assert renders.claim(renders.node(), 64) == []


def test_a_higher_cap_is_within_what_an_account_may_owe(renders: Renders) -> None:
    job_id = renders.place(10, mode="pay_before_download", max_amount=parse("0.1", "RCREDIT"))
    with pytest.raises(PaymentRequired, match="would be rendered") as refused, renders.database.unit_of_work() as session:
        render_orders.set_cap(session, renders.account_id, job_id, parse("1", "RCREDIT"), parse("0.9", "RENDER"))
    assert refused.value.code == "UNPAID_LIMIT"
    with renders.database.unit_of_work() as session:
        render_orders.set_cap(session, renders.account_id, job_id, parse("1", "RCREDIT"), parse("1", "RENDER"))
    assert renders.order(job_id).limit_minor == parse("1", "RCREDIT").minor


def test_nobody_orders_what_he_cannot_pay(renders: Renders) -> None:
    with pytest.raises(PaymentRequired) as refused:
        renders.place(10, max_amount=None, account_id=renders.account("0.5"))
    assert refused.value.details == {"available": "0.50000000", "requested": "1.00000000"}


def test_the_books_notice_a_render_that_does_not_add_up(renders: Renders) -> None:
    with moving_clock() as hours:
        node, job_id = renders.node(), renders.place(4)
        taken = renders.claim(node, 2)
        hours.wait(5)
        renders.complete(taken)
    tricks = {
        "still holds money": (Job, {"state": "cancelled"}),
        "is not in the ledger": (RenderHold, {"amount_minor": RenderHold.amount_minor + 1}),
        "frames do not cost": (RenderOrder, {"charged_minor": RenderOrder.charged_minor - 1}),
        "nobody got": (RenderOrder, {"charged_minor": RenderOrder.charged_minor - 1}),
    }
    for words, (table, values) in tricks.items():
        with renders.database.unit_of_work() as session:
            assert audit.differences(session) == []
            session.execute(update(table).values(**values))
            assert any(words in found and str(job_id) in found for found in audit.differences(session)), words
            session.rollback()


def test_a_node_works_no_further_for_nothing_and_a_render_ends_when_none_is_left(renders: Renders) -> None:
    """A frame pays for 10 s: whoever has worked for 300 s, which is more than four times that of three frames, gets no more."""
    with moving_clock() as hours:
        node, other, scene = renders.node(), renders.node(), renders.own_scene()
        job_id = renders.place(8, scene_id=scene)
        for seconds in (100, 190, 20):
            taken = renders.claim(node)
            hours.wait(seconds)
            renders.beat(other)
            assert renders.complete(taken) == 1
        assert renders.job(job_id).state == "open", "another is there"
        hours.wait(3600)
        assert renders.claim(node, 64) == [], "no second try, though nobody is there now"
        for seconds, state in ((300, "open"), (11, "failed")):
            taken = renders.claim(other)
            hours.wait(seconds)
            renders.beat(node)
            assert renders.complete(taken) == 1 and renders.job(job_id).state == state
        job = renders.job(job_id)
        assert (job.reason_code, job.units_completed) == ("ESTIMATE_EXCEEDED", 5)
        assert renders.claim(node, 64) == renders.claim(other, 64) == []
        assert renders.balance("held").minor == 0
        assert renders.order(job_id).charged_minor == parse("0.5", "RCREDIT").minor
        renders.assert_conserved(job_id, node, other)
        assert renders.measured(scene) == [(5, 621.0)]


@pytest.mark.parametrize(
    ("frames", "settings", "seconds"),
    [
        ((1,), {"tiles": {"columns": 2, "rows": 2}}, (140, 140, 140)),
        ((1, 2, 3), {"video": {"format": "MP4", "fps": 24, "frames": 3}}, (1, 1, 1000)),
    ],
)
def test_what_would_be_nothing_without_its_rest_is_finished(
    renders: Renders, frames: tuple[int, ...], settings: dict, seconds: tuple[int, ...]
) -> None:
    """A still of which no tile is kept alone, and a film that is but to be joined."""
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(3, frames=frames, settings=SETTINGS | settings)
        for each in seconds:
            taken = renders.claim(node)
            hours.wait(each)
            assert renders.complete(taken) == 1
        assert renders.job(job_id).state == "open" and len(renders.claim(node)) == 1


def test_a_node_may_work_on_a_frame_as_long_as_on_its_whole_job(renders: Renders) -> None:
    """And five minutes where that is less: nobody's guess of a small picture is that good."""
    node = renders.node()
    for quoted, most in ((1, 300), (8, 320), (400, 16_000)):
        renders.place(quoted)
        (taken,) = renders.claim(node, 1)
        assert taken.job.settings["max_seconds"] == most
        renders.cancel(taken.job.id)
