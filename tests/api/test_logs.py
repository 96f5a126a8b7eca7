"""What is logged: one JSON line a request with its id, what happens to jobs and payments, and never a secret."""

import json

from app.core import accounts
from app.wiring import Hub
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid

CANARY = "canary-do-not-log-me"


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_request_is_one_line_and_its_id_is_on_everything_it_logs(market: Market, payer: Payer, node: FakeNode, capfd) -> None:
    capfd.readouterr()
    payment = paid(market, payer)
    (attempt,) = node.claim()
    node.finish(attempt)
    found = lines(capfd.readouterr().err)
    requests = [line for line in found if line["event"] == "request"]
    assert {"method", "path", "status", "ms", "request_id", "timestamp", "level"} <= set(requests[0])
    decided = next(line for line in found if line["event"] == "payment.decided")
    asked = next(line for line in requests if line["path"] == "/render/pay")
    story = [line for line in found if line.get("job_id") == payment["jobId"]]
    happened = [line["event"] for line in story if line["event"].startswith("job:")]
    assert happened == ["job:new", "job:paid", "job:started", "job:completed"]
    ordered = next(line for line in requests if line["path"] == "/render")
    assert (decided["request_id"], decided["via_request_id"]) == (ordered["request_id"], asked["request_id"])
    assert ordered["job_id"] == asked["job_id"] == payment["jobId"]
    of_the_order = ("job:new", "units.claimed", "attempt.completed")  # whoever does it, it is done for that request
    told = {line["event"]: line["request_id"] for line in story if line["event"] in of_the_order}
    assert told == dict.fromkeys(of_the_order, ordered["request_id"])
    done = [line for line in story if line["event"] == "attempt.completed"][-1]
    assert {"unit_id", "attempt_id", "node_id", "seconds"} <= done.keys() and done["attempt_id"] == attempt["attempt_id"]


def test_a_proxys_plain_id_is_kept_and_a_strange_one_is_not(client) -> None:
    assert client.get("/health", headers={"X-Request-Id": "proxy-12345678"}).headers["X-Request-Id"] == "proxy-12345678"
    for strange in ("x", 'a" b"', "é" * 10, "a" * 41):
        assert client.get("/health", headers={"X-Request-Id": strange.encode()}).headers["X-Request-Id"] != strange


def test_no_token_key_or_signature_reaches_the_log(market: Market, hub: Hub, capfd) -> None:
    capfd.readouterr()
    with hub.database.unit_of_work() as session:
        secret = accounts.ensure_operator(session)
    for headers in ({"Authorization": f"Bearer {CANARY}"}, {"X-API-Key": CANARY}, {"Authorization": f"Bearer {secret}"}):
        for path in (f"/render/x?token={CANARY}", f"/files/a?signature={CANARY}", "/node/v1/claims", f"/ws?token={CANARY}"):
            market.client.get(path, headers=headers)
            market.client.post(path, headers=headers, json={"signature": CANARY, "token": CANARY})
    printed = capfd.readouterr()
    assert lines(printed.err), "nothing was logged, so this would prove nothing"
    assert CANARY not in printed.err + printed.out and secret not in printed.err + printed.out
