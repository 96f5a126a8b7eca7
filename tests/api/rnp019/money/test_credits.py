"""Balances, top-ups, redemption and payments of jobs over RNP-019's routes, on the real local chain."""

import uuid
from typing import Any

from app.core import audit
from app.models.accounts import IdempotencyKey
from app.models.jobs import Job
from tests.api.rnp019.conftest import refused
from tests.api.rnp019.money.conftest import Agent
from tests.factories.payouts import LOCAL_MINTS
from tests.factories.task_market import Hours

UNIT = 10**6


def test_topped_up_in_each_asset_and_redeemed_exactly(agent: Agent, hub_wallet: str) -> None:
    for asset, amount in (("RENDER", "2.50000001"), ("USDC", "3.000001"), ("USDT", "4"), ("SOL", "0.01")):
        paid = agent.tops_up(asset, amount)
        assert (paid["status"], paid["pay_to"], paid["asset"]) == ("confirmed", hub_wallet, asset)
        assert paid["mint"] == LOCAL_MINTS.get(asset) and paid["memo"].startswith("rnp:") and len(paid["memo"]) == 24
        assert agent.get(f"credits/topups/{paid['id']}").json == paid
    body = {"amount": "1.00000001"}
    first, again = (agent.post("credits/redeem", body, Idempotency_Key="once") for _ in range(2))
    assert first.json == again.json == {"redeemed": "1.00000001", "credits": "1.00000001", "render": "1.50000000"}
    found = agent.get("credits").json
    assert found["credits"] == "1.00000001" and set(found["held"].values()) == {"0.00000000", "0.000000", "0.000000000"}
    assert found["balances"] == {
        "RCREDIT": "1.00000001", "RENDER": "1.50000000", "USDC": "3.000001", "USDT": "4.000000", "SOL": "0.010000000"
    }
    short = agent.post("credits/redeem", {"amount": "1.50000001"})
    assert "top up" in refused(short, 402, "INSUFFICIENT_CREDITS")
    assert short.json["error"]["details"] == {"available": "1.50000000", "requested": "1.50000001"}
    with agent.database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_prepaid_job_is_paid_by_memo(agent: Agent) -> None:
    job_id = agent.place(10, mode="prepay")
    unknown = agent.post(f"jobs/{job_id}/pay", {"tx_signature": agent.payer.sign("never sent")})
    assert (unknown.status_code, unknown.json["status"], unknown.json["job_id"]) == (200, "pending", str(job_id))
    assert unknown.json["amount"] == "1.000000"
    wrong = agent.post(f"jobs/{job_id}/pay", {"tx_signature": agent.send({**unknown.json, "mint": LOCAL_MINTS["USDT"]})})
    assert "asked currency" in refused(wrong, 400, "VERIFICATION_FAILED") and agent.job(job_id).payment_state == "pending"
    assert wrong.json["error"]["details"]["reason"] == "wrong_payee"
    paid = agent.post(f"jobs/{job_id}/pay", {"tx_signature": agent.send(unknown.json)}).json
    assert (paid["status"], paid["received"]) == ("confirmed", "1.000000")
    assert {item["status"] for item in paid["transactions"]} == {"pending", "refused", "accepted"} and paid["tx_signature"]
    assert agent.job(job_id).payment_state == "confirmed"
    other = agent.place(10, mode="prepay")
    used = agent.post(f"jobs/{other}/pay", {"tx_signature": paid["tx_signature"]})
    refused(used, 409, "TRANSACTION_USED")
    short = agent.post(f"jobs/{other}/pay", {"from": "balance"})
    refused(short, 402, "INSUFFICIENT_CREDITS")
    agent.tops_up("USDC", "1")
    done = agent.post(f"jobs/{other}/pay", {"from": "balance"})
    assert (done.status_code, done.json["status"]) == (200, "confirmed") and agent.job(other).payment_state == "confirmed"
    assert agent.balance().minor == 0 and agent.balance("held").minor == 2 * UNIT


def test_pictures_rendered_before_are_paid_from_the_balance(agent: Agent, hours: Hours) -> None:
    node, job_id = agent.node(), agent.place(4, mode="pay_before_download")
    refused(agent.post(f"jobs/{job_id}/pay", {"from": "balance"}), 409, "JOB_NOT_FINISHED")
    while taken := agent.claim(node, 64):
        hours.wait(5)
        agent.complete(taken)
    agent.tops_up("USDC", "1")
    done = agent.post(f"jobs/{job_id}/pay", {"from": "balance"})
    assert (done.status_code, done.json["chain"], done.json["amount"]) == (200, "ledger", "0.200000")
    assert agent.order(job_id).settled_at is not None and agent.earned(node).minor == 190_000
    assert agent.post(f"jobs/{job_id}/pay", {"from": "balance"}).json == done.json and agent.earned(node).minor == 190_000


def test_a_payment_from_the_balance_whose_answer_was_lost_is_told_again(agent: Agent) -> None:
    agent.tops_up("USDC", "3")
    for asked_first in (False, True):
        job_id, key = agent.place(10, mode="prepay"), {"Idempotency_Key": uuid.uuid4().hex}
        if asked_first:
            assert agent.post(f"jobs/{job_id}/pay").status_code == 402
        done = agent.post(f"jobs/{job_id}/pay", {"from": "balance"}, **key)
        left, held = agent.balance(), agent.balance("held")
        with agent.database.unit_of_work() as session:
            session.query(IdempotencyKey).delete()  # its process died after the commit
        for headers in (key, {}):
            again = agent.post(f"jobs/{job_id}/pay", {"from": "balance"}, **headers)
            assert (again.status_code, again.json) == (200, done.json) and "Idempotent-Replayed" not in again.headers
        assert (agent.balance(), agent.balance("held")) == (left, held) and done.json["status"] == "confirmed"
        assert agent.post(f"jobs/{job_id}/pay").status_code == 409, "who asks how to pay is told that it is paid"
        stranger = agent.new_key(("jobs:write",), agent.account("0"))
        refused(agent.post(f"jobs/{job_id}/pay", {"from": "balance"}, stranger), 404, "JOB_NOT_FOUND")
    by_memo = agent.place(10, mode="prepay")
    asked = agent.post(f"jobs/{by_memo}/pay").json["payment"]
    assert agent.post(f"jobs/{by_memo}/pay", {"tx_signature": agent.send(asked)}).json["status"] == "confirmed"
    refused(agent.post(f"jobs/{by_memo}/pay", {"from": "balance"}), 409, "JOB_PAID")
    with agent.database.unit_of_work() as session:
        assert audit.differences(session) == []


BAD: list[tuple[str, list[Any]]] = [
    ("credits/topups", [{}, {"amount": "0"}, {"amount": "-1"}, {"amount": "NaN"}, {"amount": "1e400"}, {"amount": True},
     {"amount": "1", "asset": "RCREDIT"}, {"amount": "1", "asset": 7}, {"amount": "0.0000001", "asset": "USDC"},
     {"amount": "٣"}, {"amount": "1_0"}, []]),
    ("credits/redeem", [{}, {"amount": "0"}, {"amount": "0.000000001"}, {"amount": None}, "x"]),
    ("jobs/{job}/pay", [{"tx_signature": "x"}, {"tx_signature": 7}, {"tx_signature": "1" * 1000}, {"from": "heaven"},
     {"from": "balance", "tx_signature": "1" * 64}, [], 7]),
]


def test_bad_input_is_400_with_a_reason(agent: Agent) -> None:
    job_id = agent.place(1, mode="prepay")
    for path, bodies in BAD:
        for body in bodies:
            answer = agent.post(path.format(job=job_id), body)
            assert answer.status_code == 400 and answer.json["error"]["message"], (path, body, answer.json)
    for path in ("jobs/x/pay", "credits/topups/x/pay"):
        assert agent.post(path, {}).status_code == 400


def test_jobs_and_topups_are_their_owners_and_keys_need_their_scopes(agent: Agent) -> None:
    job_id = agent.place(1, mode="prepay")
    topup = agent.post("credits/topups", {"amount": "1"}).json
    stranger = agent.new_key(("jobs:write", "credits:write", "credits:read"), agent.account("0"))
    for path, code in ((f"jobs/{job_id}/pay", "JOB_NOT_FOUND"), (f"credits/topups/{topup['id']}/pay", "DEPOSIT_NOT_FOUND")):
        refused(agent.post(path, {"tx_signature": agent.payer.sign("x")}, stranger), 404, code)
    reader = agent.new_key(("jobs:read", "credits:read"))
    for path in (f"jobs/{job_id}/pay", f"credits/topups/{topup['id']}/pay", "credits/topups", "credits/redeem"):
        body = {"tx_signature": agent.payer.sign("x")} if path.endswith("pay") else {"amount": "1"}
        assert agent.post(path, body, reader).status_code == 403, path
    with agent.database.unit_of_work() as session:
        assert session.get_one(Job, job_id).payment_state == "pending"
