"""Idempotency-Key: one committed answer per caller and key, for a day."""

import io
import re
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from app.core import idempotency
from app.errors import Conflict
from app.factory import create_app
from app.flows import submission
from app.values import clock
from devnet.payer import Payer
from tests.api.conftest import TRIANGLE, FakeNode, Market
from tests.api.test_paid_render import paid

SETTINGS = '{"resolution":{"width":8,"height":6}}'


def order(client, payer: Payer, key: str, data: bytes = TRIANGLE, settings: str = SETTINGS):
    form = {"file": (io.BytesIO(data), "part.stl"), "clientWallet": payer.address, "settings": settings}
    return client.post("/render", data=form, headers={"Idempotency-Key": key})


def jobs_of(market: Market) -> int:
    with market.hub.database.unit_of_work() as session:
        return len(session.connection().exec_driver_sql("SELECT id FROM jobs").all())


def test_the_same_quote_comes_back_though_the_form_has_a_new_boundary(market: Market, payer: Payer) -> None:
    first, second = (order(market.client, payer, "k1") for _ in range(2))
    assert first.status_code == second.status_code == 402
    assert first.data == second.data
    assert "Idempotent-Replayed" not in first.headers and second.headers["Idempotent-Replayed"] == "true"
    assert jobs_of(market) == 1
    assert order(market.client, payer, "k2").json["payment"]["jobId"] != first.json["payment"]["jobId"]


@pytest.mark.parametrize("change", ["file", "settings"])
def test_another_request_under_the_same_key_is_409(market: Market, payer: Payer, change: str) -> None:
    assert order(market.client, payer, "k").status_code == 402
    data = TRIANGLE if change == "settings" else TRIANGLE[:-1] + b"\1"
    settings = SETTINGS if change == "file" else '{"resolution":{"width":8,"height":7}}'
    answer = order(market.client, payer, "k", data, settings)
    assert (answer.status_code, answer.json["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert answer.json["success"] is False


def test_a_payment_is_answered_the_same_and_another_body_is_409(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
    payer.wait_final(signature)
    body, head = {"jobId": payment["jobId"], "txSignature": signature}, {"Idempotency-Key": "pay"}
    first = market.client.post("/render/pay", json=body, headers=head)
    assert first.json["data"]["status"] == "queued"
    assert market.client.post("/render/pay", json=body, headers=head).data == first.data
    other = market.client.post("/render/pay", json={**body, "jobId": str(uuid.uuid4())}, headers=head)
    assert (other.status_code, other.json["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_refusal_frees_the_key(market: Market, payer: Payer) -> None:
    assert order(market.client, payer, "k", b"no scene").status_code == 400
    assert order(market.client, payer, "k").status_code == 402


def test_a_crash_frees_the_key_and_is_never_kept(market: Market, payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(submission, "inspect_scene", lambda *_: 1 / 0)
        assert order(market.client, payer, "k").status_code == 500
    assert order(market.client, payer, "k").status_code == 402


def test_of_two_at_once_one_does_it_and_the_other_is_told_to_ask_again(market: Market, payer: Payer, monkeypatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    inspect, answers = submission.inspect_scene, []

    def slow(*args):
        entered.set()
        assert go_on.wait(30)
        return inspect(*args)

    monkeypatch.setattr(submission, "inspect_scene", slow)
    thread = threading.Thread(target=lambda: answers.append(order(market.client.application.test_client(), payer, "k")))
    thread.start()
    assert entered.wait(30)
    second = order(market.client, payer, "k")
    go_on.set()
    thread.join()
    assert (second.status_code, second.json["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert second.headers["Retry-After"] == "1"
    assert answers[0].status_code == 402 and order(market.client, payer, "k").data == answers[0].data
    assert jobs_of(market) == 1


def test_keys_of_different_callers_never_meet(market: Market, payer: Payer) -> None:
    first = order(market.client, payer, "k")
    other = market.client.application.test_client()
    other.environ_base["REMOTE_ADDR"] = "127.0.0.2"
    assert order(other, payer, "k").json["payment"]["jobId"] != first.json["payment"]["jobId"]


@pytest.mark.parametrize("key", ["", "x" * 256, "\t", "é"])
def test_a_strange_key_is_400(market: Market, payer: Payer, key: str) -> None:
    assert order(market.client, payer, key.encode().decode("latin-1")).status_code == 400


def test_answers_are_kept_a_day_and_a_dead_holder_is_followed(database) -> None:
    with database.unit_of_work() as session:
        held = idempotency.begin(session, "caller", "key", "hash")
    try:
        clock.replace_clock(lambda: held_since + timedelta(seconds=idempotency.HOLD_SECONDS))
        held_since = clock.datetime.now(clock.UTC)
        with database.unit_of_work() as session:
            follower = idempotency.begin(session, "caller", "key", "hash")
            assert follower == held, "what the dead holder committed under its id is found by it"
            idempotency.keep(session, follower, 200, "{}")
            idempotency.keep(session, follower, 500, "late")  # should the holder not be dead at all
            idempotency.release(session, follower)
        with database.unit_of_work() as session:
            assert idempotency.begin(session, "caller", "key", "hash") == idempotency.Kept(200, "{}")
        clock.replace_clock(lambda: held_since + timedelta(hours=25))
        with database.unit_of_work() as session:
            assert idempotency.forget_expired(session) == 1
            assert isinstance(idempotency.begin(session, "caller", "key", "other hash"), uuid.UUID)
    finally:
        clock.replace_clock(None)


def test_another_request_after_a_dead_holder_has_an_id_of_its_own(database) -> None:
    with database.unit_of_work() as session:
        held = idempotency.begin(session, "caller", "key", "hash")
        idempotency.let_go(session, held)
    with database.unit_of_work() as session:
        other = idempotency.begin(session, "caller", "key", "other hash")
        assert isinstance(other, uuid.UUID) and other != held


def test_a_key_whose_holder_was_killed_says_when_to_ask_again(database) -> None:
    """As after kill -9 mid-request: the key is held, and nobody will ever answer."""
    with database.unit_of_work() as session:
        idempotency.begin(session, "caller", "key", "hash")
    held_since, waited = clock.datetime.now(clock.UTC), 0
    try:
        for _ in range(12):
            clock.replace_clock(lambda: held_since + timedelta(seconds=waited))  # noqa: B023  called before the next turn
            with database.unit_of_work() as session:
                try:
                    assert isinstance(idempotency.begin(session, "caller", "key", "hash"), uuid.UUID)
                    break
                except Conflict as refusal:
                    assert refusal.code == "IDEMPOTENCY_IN_PROGRESS" and refusal.details["retry_after"] >= 1
                    assert f"in {refusal.details['retry_after']} s" in refusal.message
                    waited += refusal.details["retry_after"]
    finally:
        clock.replace_clock(None)
    assert serving_timeout() < idempotency.HOLD_SECONDS <= waited <= 180


def serving_timeout() -> int:
    """What gunicorn is told, without its configuration's side effects."""
    text = (Path(__file__).parents[2] / "app" / "serving.py").read_text()
    return int(re.findall(r"^timeout = (\d+)$", text, re.M)[0])


def test_a_nodes_result_is_answered_the_same_and_another_body_is_409(market: Market, payer: Payer, node: FakeNode) -> None:
    paid(market, payer)
    (attempt,) = node.claim()
    results = [node.upload(attempt)]
    node.headers["Idempotency-Key"] = "one"
    first, second = node.post("results", results=results), node.post("results", results=results)
    assert first.status_code == second.status_code == 200 and first.json == second.json
    assert second.headers["Idempotent-Replayed"] == "true"
    assert node.post("results", results=[{**results[0], "seconds": 2}]).status_code == 409


def test_every_post_that_moves_money_takes_a_key(settings) -> None:
    app = create_app(settings)
    posts = {rule.rule: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules() if "POST" in rule.methods}
    nodes = ("/node/v1/results", "/node/v1/failures")  # the end of a job books fees and refunds
    for rule in ("/render", "/render/pay", "/provider/job/<job_id>/complete", "/provider/job/<job_id>/failed", *nodes):
        assert "idempotency" in _sources(posts[rule]), rule


def _sources(view) -> str:
    """The modules of a view's wrappers, from the outside in."""
    names = []
    while view is not None:
        names.append(view.__code__.co_filename)
        view = getattr(view, "__wrapped__", None)
    return " ".join(names)
