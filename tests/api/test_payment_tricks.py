"""Every trick with a payment, on the real local chain: refused or booked as owed back, told in words, and never lost."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from app.core import audit
from app.errors import ChainUnreadable
from app.factory import create_app
from app.flows import payments as flows
from app.models.payments import ChainTransaction
from app.wiring import Hub, build
from devnet.payer import Payer, memo
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import lamports, paid
from workers import sweeps


def final(payer: Payer, signature: str) -> str:
    payer.wait_final(signature)
    return signature


def books_agree(market: Market) -> bool:
    with market.hub.database.unit_of_work() as session:
        return audit.differences(session) == []


def test_taken_back_in_the_same_transaction(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    there = payer.transfer(payment["payTo"], lamports(payment))
    back = market.wallet.transfer(payer.address, lamports(payment))
    signature = payer.send([there, memo(payment["memo"]), back], (market.wallet.keypair,))
    answer = market.pay(payment, final(payer, signature))
    assert (answer.status_code, answer.json["success"]) == (400, False)
    assert "taken back" in answer.json["error"]
    assert market.job(payment)["transactions"][0]["code"] == "taken_back"
    assert market.job(payment)["status"] == "pending_payment" and books_agree(market)


def test_a_transaction_that_failed_on_the_chain(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    pay, too_much = payer.transfer(payment["payTo"], lamports(payment)), payer.transfer(payment["payTo"], 10**15)
    signature = payer.send([pay, memo(payment["memo"]), too_much], skip_preflight=True)
    answer = market.pay(payment, final(payer, signature))
    assert answer.status_code == 400 and "failed on the chain" in answer.json["error"]
    assert market.job(payment)["refunds"] == []


def test_not_final_yet_is_pending_and_confirms_by_itself(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    unknown = payer.pay(payment["payTo"], lamports(payment), payment["memo"])
    # Shown at once: the chain has it at best as processed.
    answer = market.pay(payment, unknown)
    assert (answer.status_code, answer.json["data"]["status"]) in ((200, "pending_payment"), (200, "queued"))
    final(payer, unknown)
    hub = market.hub
    flows.find_unannounced(hub.database, hub.chain)
    with hub.database.unit_of_work() as session:
        waiting = flows.payments.pending(session)
    for transaction_id in waiting:
        flows.verify(hub.database, hub.chain, transaction_id)
    assert market.job(payment)["status"] == "queued"


def test_a_signature_that_the_chain_has_never_seen_stays_pending(market: Market, payer: Payer) -> None:
    payment = market.quote(payer)
    answer = market.pay(payment, payer.sign("never sent"))
    assert (answer.status_code, answer.json["data"]["status"]) == (200, "pending_payment")
    paying = payer.pay(payment["payTo"], lamports(payment), payment["memo"])
    assert market.pay(payment, final(payer, paying)).json["data"]["status"] == "queued"


def test_the_chain_is_away_and_the_payment_waits(market: Market, payer: Payer, settings) -> None:
    payment = market.quote(payer)
    signature = final(payer, payer.pay(payment["payTo"], lamports(payment), payment["memo"]))
    away = create_app(replace(settings, solana_rpc_url="http://127.0.0.1:9"))
    answer = away.test_client().post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
    assert (answer.status_code, answer.json["data"]["status"]) == (200, "pending_payment")
    away.extensions["lightyard"].database.engine.dispose()
    assert market.pay(payment, signature).json["data"]["status"] == "queued"


def test_after_expiry_it_is_owed_back(market: Market, payer: Payer, settings) -> None:
    late = create_app(replace(settings, quote_seconds=-60))
    market.client = late.test_client()
    payment = market.quote(payer)
    signature = final(payer, payer.pay(payment["payTo"], lamports(payment), payment["memo"]))
    answer = market.pay(payment, signature)
    assert answer.status_code == 400 and "expired" in answer.json["error"]
    (refund,) = market.job(payment)["refunds"]
    assert (refund["status"], refund["reason"], lamports({"price": refund["amount"]})) == ("owed", "expired", lamports(payment))
    assert books_agree(market)
    late.extensions["lightyard"].database.engine.dispose()


def test_twenty_at_once_through_two_processes_pay_once(market: Market, payer: Payer, node: FakeNode, settings) -> None:
    other = create_app(settings)
    payment = market.quote(payer)
    signature = final(payer, payer.pay(payment["payTo"], lamports(payment), payment["memo"]))
    body = {"jobId": payment["jobId"], "txSignature": signature}

    def show(index: int) -> tuple[int, str]:
        client: FlaskClient = (market.client.application if index % 2 else other).test_client()
        answer = client.post("/render/pay", json=body)
        return answer.status_code, answer.json["data"]["status"]

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(show, range(20))) == {(200, "queued")}
    assert len(node.claim(8)) == 1
    assert len(market.job(payment)["transactions"]) == 1 and books_agree(market)
    other.extensions["lightyard"].database.engine.dispose()


def test_one_transaction_for_twenty_jobs_at_once_pays_one(market: Market, payer: Payer) -> None:
    quotes = [market.quote(payer) for _ in range(8)]
    signature = final(payer, payer.pay(quotes[0]["payTo"], lamports(quotes[0]), quotes[0]["memo"]))

    def show(payment: dict) -> int:
        client = market.client.application.test_client()
        return client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature}).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(show, quotes))
    # It pays the job whose memo it carries; the others are told 400 before that is booked, and 409 after.
    assert codes[0] == 200 and set(codes[1:]) <= {400, 409} and books_agree(market)


def test_a_thief_who_shows_it_first_does_not_keep_the_payer_from_being_served(market: Market, payer: Payer) -> None:
    mine, theirs = market.quote(payer), market.quote(Payer("http://127.0.0.1:9"))
    signature = final(payer, payer.pay(mine["payTo"], lamports(mine), mine["memo"]))
    assert market.pay(theirs, signature).status_code == 400
    assert market.pay(mine, signature).json["data"]["status"] == "queued"


def test_paid_twice_is_owed_back_once(market: Market, payer: Payer, hub: Hub) -> None:
    payment = paid(market, payer)
    again = final(payer, payer.pay(payment["payTo"], lamports(payment) + 1, payment["memo"]))
    answer = market.pay(payment, again)
    assert answer.status_code == 400 and "owed back" in answer.json["error"]
    assert market.pay(payment, again).status_code == 400
    (refund,) = market.job(payment)["refunds"]
    assert refund["reason"] == "already_paid" and books_agree(market)


def test_two_memos_shown_for_both_jobs_before_either_is_final(market: Market, payer: Payer, hub: Hub) -> None:
    one, two = market.quote(payer), market.quote(payer)
    paying = [payer.transfer(one["payTo"], 2 * lamports(one)), memo(one["memo"]), memo(two["memo"])]
    signature = payer.send(paying)
    with hub.database.unit_of_work() as session:
        for payment in (one, two):
            flows.payments.present(session, flows.payments.of_job(session, uuid.UUID(payment["jobId"])), signature)
    final(payer, signature)
    with hub.database.unit_of_work() as session:
        flows_of = {row.payment_id: row.id for row in session.scalars(select(ChainTransaction))}
        second = flows_of[flows.payments.of_job(session, uuid.UUID(two["jobId"])).id]
    assert market.pay(one, signature).status_code == 400
    assert flows.verify(hub.database, hub.chain, second) == "refused"
    answer = market.pay(two, signature)
    assert (answer.status_code, answer.json["code"]) == (409, "TRANSACTION_USED")
    assert [refund["reason"] for refund in market.job(one)["refunds"]] == ["memo_twice"]
    assert market.job(two)["refunds"] == [] and books_agree(market)


class HalfReadable:
    """The real chain, but its node answers some transactions with an error, as it does for versions that it does not know."""

    def __init__(self, chain: Any, unreadable: list[str]) -> None:
        self._chain, self._unreadable = chain, unreadable

    def sighting(self, signature: str) -> Any:
        if signature in self._unreadable:
            raise ChainUnreadable("Transaction version (1) is not supported")
        return self._chain.sighting(signature)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def test_a_transaction_that_cannot_be_read_keeps_no_other_from_being_confirmed(
    market: Market, payer: Payer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange, mine = market.quote(payer), market.quote(payer)
    unreadable = [payer.sign(f"of another version {number}") for number in range(20)]
    for each in unreadable:
        assert market.pay(strange, each).json["data"]["status"] == "pending_payment"
    signature = payer.pay(mine["payTo"], lamports(mine), mine["memo"])
    with hub.database.unit_of_work() as session:
        flows.payments.present(session, flows.payments.of_job(session, uuid.UUID(mine["jobId"])), signature)
    final(payer, signature)
    chain = HalfReadable(hub.chain, unreadable)
    monkeypatch.setattr(sweeps, "hub", lambda: replace(hub, chain=chain))
    sweeps.sweep_payments()
    assert market.job(mine)["status"] == "queued"
    assert {item["status"] for item in market.job(strange)["transactions"]} == {"pending"}


@pytest.mark.parametrize("signature", ["", "x", 5, None, ["a"], "0" * 88])
def test_what_is_no_signature_is_400(market: Market, payer: Payer, signature: object) -> None:
    payment = market.quote(payer)
    answer = market.client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})
    assert (answer.status_code, answer.json["success"]) == (400, False)


def test_build_is_lazy(settings) -> None:
    """A hub boots while its chain is away."""
    hub = build(replace(settings, solana_rpc_url="http://127.0.0.1:9"))
    hub.database.engine.dispose()
