"""What an agent's session counts, whatever gets lost or comes at once, and how its balance is filled."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import httpx
import pytest
from solders.keypair import Keypair

from app.config import Settings
from app.errors import LightyardError
from app.mcp.tally import Tally
from devnet.payer import Payer
from tests.api.conftest import payer
from tests.factories.payouts import LOCAL_MINTS
from tests.mcp.conftest import SCOPES, World, refused

__all__ = ["payer"]  # a fixture that this test shares with tests/api


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in LOCAL_MINTS.items())
    return replace(settings, solana_wallet=str(Keypair().pubkey()), solana_mints=mints)


def is_order(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/jobs")


def limited(request: httpx.Request) -> httpx.Response:
    said = {"code": "RATE_LIMITED", "message": "too many requests", "details": {"retry_after": 60}}
    return httpx.Response(429, headers={"Retry-After": "60"}, json={"error": said}, request=request)


def test_an_order_stays_counted_where_a_later_try_is_refused_for_other_reasons(world: World) -> None:
    session = world.session()
    scene = world.ready(session)
    tries: list[httpx.Request] = []

    def losing(request: httpx.Request) -> str:
        if is_order(request):
            tries.append(request)
        return "answer" if tries == [request] else ""

    world.wire.losing = losing
    world.wire.instead = lambda request: limited(request) if request in tries[1:] else None
    message = refused(lambda: world.order(session, scene), "ORDER_UNCLEAR")
    assert "too many requests" in message and world.jobs() == 1
    counted, key = session.purse.told()["counted"], tries[0].headers["Idempotency-Key"]
    assert Decimal(counted) == world.price(scene)
    refused(lambda: world.order(session, scene, "1", order_key=key), "ORDER_KEY_USED")  # would count less for the same job
    refused(lambda: world.order(session, scene, order_key="two\nlines"), "INVALID_INPUT")
    world.wire.instead = lambda request: None
    assert world.order(session, scene, order_key=key)["spending"]["counted"] == counted == session.purse.told()["counted"]
    assert world.jobs() == 1


def test_a_refusal_at_the_first_try_is_not_counted(world: World) -> None:
    session = world.session()
    scene = world.ready(session)
    world.wire.instead = lambda request: limited(request) if is_order(request) else None
    assert "too many requests" in refused(lambda: world.order(session, scene), "RATE_LIMITED")
    assert session.purse.told()["counted"] == "0.00000000" and world.jobs() == 0


def test_a_lower_cap_counts_once_the_hub_has_agreed(world: World) -> None:
    session = world.session()
    scene = world.ready(session)
    job = world.order(session, scene)["job"]
    half = str((Decimal(job["max_amount"]) / 2).quantize(Decimal("1e-8"), ROUND_DOWN))
    session.pause(job["id"])
    world.wire.losing = lambda request: "request" if request.method == "PATCH" else ""
    refused(lambda: session.resume(job["id"], half), "HUB_AWAY")
    assert session.purse.told()["counted"] == job["max_amount"]
    world.wire.losing = lambda request: ""
    assert session.resume(job["id"], half)["job"]["max_amount"] == half == session.purse.told()["counted"]
    other = world.session(cap=half)  # which has not ordered it, and counts it all the same
    world.wire.losing = lambda request: "answer" if request.url.path.endswith("/resume") else ""
    refused(lambda: other.resume(job["id"], None), "HUB_AWAY")
    world.wire.losing = lambda request: ""
    assert other.purse.told()["counted"] == half
    refused(lambda: world.order(other, scene, "1"), "SESSION_CAP")
    session.cancel(job["id"])
    assert world.order(other, scene, "1")["job"]["frames_total"] == 1


def test_orders_that_come_at_once_cross_no_cap(world: World) -> None:
    scene = world.ready(world.session())
    session = world.session(cap=str(world.price(scene) * 2))

    def order(number: int) -> str:
        try:
            return str(world.order(session, scene, order_key=f"key {number % 6}")["job"]["id"])
        except LightyardError as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(order, range(12)))  # each of six orders twice
    assert world.jobs() == 2 == len(set(found) - {"SESSION_CAP"}), found


def test_a_tally_goes_on_counting_in_the_next_session(world: World, tmp_path: Path) -> None:
    path, secret = tmp_path / "tally", world.renders.key_of(world.renders.account_id, *SCOPES)
    scene = world.ready(world.session())
    cap = str(world.price(scene))
    tally = Tally(path, "RCREDIT")
    world.wire.losing = lambda request: "answer" if is_order(request) else ""
    refused(lambda: world.order(world.session(cap, key=secret, tally=tally), scene), "ORDER_UNCLEAR")
    world.wire.losing = lambda request: ""
    refused(lambda: Tally(path, "RCREDIT"), "CONFIG")  # one session at a time
    tally.close()
    with closing(Tally(path, "RCREDIT")) as tally:
        session = world.session(cap, key=secret, tally=tally)
        refused(lambda: world.order(session, scene, "1"), "SESSION_CAP")
        (key,) = session.balance()["spending"]["unclear_order_keys"]
        job = world.order(session, scene, order_key=key)["job"]
        assert world.jobs() == 1 and session.purse.told()["counted"] == cap and session.purse.told()["unclear_order_keys"] == []
        session.cancel(job["id"])
    with closing(Tally(path, "RCREDIT")) as tally:
        assert world.session(cap, tally=tally).purse.told()["left"] == cap
    for text, asset in ((None, "USDC"), ("{}", "RCREDIT"), ('{"asset":"RCREDIT","orders":[1]}', "RCREDIT"), ("half", "RCREDIT")):
        if text is not None:
            path.write_text(text)
        with closing(Tally(path, asset)) as tally:
            refused(tally.read, "CONFIG")


def test_a_balance_that_is_too_short_is_topped_up(world: World, payer: Payer) -> None:
    session = world.session(cap="99999", scopes=(*SCOPES, "credits:write"))
    scene = world.ready(session)
    settings = {"width": 4096, "height": 4096, "samples": 4096}
    message = refused(lambda: world.order(session, scene, "1-10000", settings=settings), "INSUFFICIENT_CREDITS")
    assert "Nothing was ordered" in message and "call topup" in message
    asked = session.topup("2.5", None, None, False)
    topup = asked["topup"]
    assert (topup["asset"], topup["amount"], topup["status"]) == ("RENDER", "2.50000000", "pending") and "memo" in asked["note"]
    refused(lambda: session.topup(None, topup["id"], None, True), "TOPUP_NOT_CONFIRMED")
    payer.mint("10", "RENDER")
    signature = payer.pay_token(topup["pay_to"], 250_000_000, topup["mint"], 8, topup["memo"])
    payer.wait_final(signature)
    told = session.topup(None, topup["id"], signature, False)
    assert (told["topup"]["status"], told["topup"]["received"]) == ("confirmed", "2.50000000")
    for _ in range(2):
        assert session.topup(None, topup["id"], None, True)["redeemed"]["credits"] == "102.50000000"
    for arguments in ((None, None), ("1", topup["id"]), ("0", None), (None, "../jobs")):
        refused(lambda arguments=arguments: session.topup(*arguments, None, False), "INVALID_INPUT")
    dry = world.session(is_dry=True, scopes=(*SCOPES, "credits:write"))
    refused(lambda: dry.topup("1", None, None, False), "DRY_RUN")
    refused(lambda: world.session().topup("1", None, None, False), "SCOPE_MISSING")
