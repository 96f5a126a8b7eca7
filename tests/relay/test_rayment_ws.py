"""Rayment's /ws over two real processes, with a real client."""

import json
import time
import uuid

import httpx
import psycopg
import pytest
import redis

from app.config import Settings
from app.db import Database, make_engine
from devnet.payer import Payer
from tests.api.conftest import FakeNode, Market
from tests.api.test_paid_render import paid
from tests.relay.conftest import HEARTBEAT_SECONDS, Parts, Provider, running_api

SETTINGS = {
    "resolution": {"width": 8, "height": 6}, "frames": {"start": 1, "end": 1},
    "engine": "cycles", "samples": 128, "outputFormat": "PNG",
}


def test_everything_that_happens_at_one_process_is_told_at_the_other(apis, market: Market, payer: Payer) -> None:
    here, there = apis
    with there.connect() as socket, there.connect() as second:
        provider, watcher = Provider(socket, market).sign_in(), Provider(second, market)
        payment = market.quote(payer)
        job_id = payment["jobId"]
        assert watcher.ask({"type": "subscribe", "jobId": job_id}) == {"type": "subscribed", "jobId": job_id}
        assert watcher.event() == {"type": "job:new", "jobId": job_id}
        new = provider.event()
        assert (new["type"], new["jobId"], new["settings"]) == ("job:new", job_id, SETTINGS)
        assert "fileUrl" not in new  # it is not paid

        signature = payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
        payer.wait_final(signature)
        assert market.pay(payment, signature).json["data"]["status"] == "queued"
        told = provider.event()
        assert (told["type"], told["jobId"], told["txSignature"]) == ("job:paid", job_id, signature)
        assert httpx.get(told["fileUrl"]).status_code == 200
        assert watcher.event() == {"type": "job:paid", "jobId": job_id, "txSignature": signature}

        node = FakeNode(market).join()
        (attempt,) = [item for item in node.claim(8) if item["kind"] == "frame"]
        node.post("progress", reports=[{"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "progress": 0.5}])
        node.finish(attempt)
        for listener in (provider, watcher):
            assert listener.event("job:started") == {"type": "job:started", "jobId": job_id}
            progress = listener.event("job:progress")
            assert progress["progress"] == 0.5 and progress["framesTotal"] == 1
            done = listener.event("job:completed")
            assert done["jobId"] == job_id
            assert here.get(done["resultUrl"]).status_code == 200


def test_a_failure_is_told(apis, market: Market, payer: Payer) -> None:
    with apis[1].connect() as socket:
        provider = Provider(socket, market).sign_in()
        payment = paid(market, payer)
        job_id = payment["jobId"]
        body = {"providerId": market.provider_id, "error": "no memory", "signature": market.wallet.sign(f"failed:{job_id}")}
        assert apis[0].post(f"/provider/job/{job_id}/failed", json=body).status_code == 200
        assert provider.event("job:failed") == {"type": "job:failed", "jobId": job_id, "error": "no memory"}


def test_who_comes_back_is_told_of_its_open_jobs_and_only_its_own(apis, market: Market, payer: Payer) -> None:
    first, second = paid(market, payer), paid(market, payer)
    other = Market(apis[0], market.hub, str(payer._http.base_url))  # another provider, which is told nothing of these
    with apis[1].connect() as socket, apis[1].connect() as elsewhere:
        provider, stranger = Provider(socket, market).sign_in(), Provider(elsewhere, other).sign_in()
        assert [provider.event("job:paid")["jobId"] for _ in range(2)] == [first["jobId"], second["jobId"]]
        stranger.send({"type": "heartbeat"})
        assert json.loads(stranger.socket.recv(timeout=30)) == {"type": "heartbeat"}


def test_a_watcher_who_comes_late_is_told_how_far_it_is(apis, market: Market, payer: Payer) -> None:
    payment = paid(market, payer)
    with apis[1].connect() as socket:
        watcher = Provider(socket, market)
        watcher.ask({"type": "subscribe", "jobId": payment["jobId"]})
        assert watcher.event()["type"] == "job:paid"
        unknown = watcher.ask({"type": "subscribe", "jobId": str(uuid.uuid4())})
        assert unknown == {"type": "error", "error": "Job not found", "code": "NOT_FOUND"}


def test_heartbeats_go_both_ways(apis, market: Market) -> None:
    with apis[0].connect() as socket:
        provider = Provider(socket, market).sign_in()
        assert json.loads(socket.recv(timeout=HEARTBEAT_SECONDS * 30)) == {"type": "heartbeat"}
        before = apis[0].get(f"/providers/{market.provider_id}").json["data"]["lastSeen"]
        provider.send({"type": "heartbeat"})
        assert json.loads(socket.recv(timeout=30)) == {"type": "heartbeat"}
        assert provider.ask({"type": "nothing"})["type"] == "error"  # what was sent before it has been done
        assert apis[0].get(f"/providers/{market.provider_id}").json["data"]["lastSeen"] > before


def test_sign_in_takes_the_wallets_fresh_signature_once(apis, market: Market) -> None:
    stranger, now = Payer(str(market.wallet._http.base_url)), int(time.time() * 1000)
    with apis[0].connect() as socket:
        provider = Provider(socket, market)
        assert provider.ask(provider.message(timestamp=now - 301_000))["code"] == "UNAUTHENTICATED"
        assert provider.ask(provider.message(timestamp=now + 360_000))["code"] == "UNAUTHENTICATED"
        wrong_key = provider.message(signature=stranger.sign(f"ws:{market.provider_id}:{now}"), timestamp=now)
        assert provider.ask(wrong_key)["code"] == "UNAUTHENTICATED"
        wrong_text = provider.message(signature=market.wallet.sign(f"ws:{market.provider_id}:{now - 1}"), timestamp=now)
        assert provider.ask(wrong_text)["code"] == "UNAUTHENTICATED"
        provider.sign_in()
    with apis[0].connect() as socket, apis[1].connect() as elsewhere:
        provider, replayer = Provider(socket, market), Provider(elsewhere, market)
        message = provider.message(timestamp=str(now + 1000))  # text is taken as well as a number
        assert provider.ask(message) == {"type": "authenticated"}
        assert replayer.ask(message) == {
            "type": "error", "error": "this signed message was used before; sign a new one", "code": "SIGNATURE_REPLAYED",
        }
        # it does not count as having signed with a timestamp: shorter messages stay good
        market.set_status("busy")


@pytest.mark.parametrize(
    "garbage",
    ["", "{", "[]", "null", '"auth"', "{}", '{"type":"auth"}', '{"type":"auth","providerId":7,"timestamp":true}',
     '{"type":"auth","providerId":"x","timestamp":1e400}', "[" * 5000, b"\xff\xfe", '{"type":"subscribe","jobId":[]}',
     '{"type":"\\u0000"}'],
)
def test_garbage_is_refused_and_the_socket_lives(apis_once, garbage) -> None:
    api, market = apis_once
    with api.connect() as socket:
        provider = Provider(socket, market)
        assert provider.ask(garbage)["type"] == "error"
        provider.sign_in()


def test_who_goes_on_with_garbage_or_says_nothing_is_shown_out(apis_once) -> None:
    api, market = apis_once
    with api.connect() as socket:
        provider = Provider(socket, market)
        for _ in range(5):
            provider.send("{")
        assert provider.closed() == 1008


def test_an_oversized_message_ends_the_socket_and_nothing_else(apis_once) -> None:
    api, market = apis_once
    with api.connect() as socket, api.connect() as other:
        provider = Provider(socket, market).sign_in()
        provider.send("x" * 70_000)
        assert provider.closed() in (1009, 1006)
        Provider(other, market).sign_in()
        assert api.get("/health").status_code == 200


def test_what_is_no_websocket_is_400_in_the_envelope(apis_once) -> None:
    api, _ = apis_once
    answer = api.get("/ws")
    assert (answer.status_code, answer.json["success"]) == (400, False)


@pytest.fixture(scope="module")
def apis_once(tmp_path_factory, postgres, template, valkey, solana_url):
    """One process and one provider for the tests that only talk."""
    name, folder = f"test_{uuid.uuid4().hex}", tmp_path_factory.mktemp("api")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    url = postgres.database_url(name)
    environment = {
        "DATABASE_URL": url, "REDIS_URL": valkey.url, "SOLANA_RPC_URL": solana_url, "STORAGE_URL": f"file://{folder}/files",
        "LIGHTYARD_HOME": str(folder), "ALLOW_PRIVATE_ENDPOINTS": "on", "RATE_LIMITS": "off",
    }
    database = Database(make_engine(Settings(database_url=url)))
    with running_api(environment, folder / "api.log") as api:
        yield api, Market(api, Parts(database), solana_url)
    database.engine.dispose()


def test_a_process_that_dies_is_replaced_by_the_other(apis, market: Market, payer: Payer) -> None:
    first, second = apis
    with second.connect() as socket:
        provider = Provider(socket, market).sign_in()
        second.process.kill()
        assert provider.closed() == 1006
    payment = paid(market, payer)
    with first.connect() as socket:
        provider = Provider(socket, market).sign_in()
        assert provider.event("job:paid")["jobId"] == payment["jobId"]


def test_a_lost_subscription_is_made_again_and_what_was_missed_is_told(apis, market: Market, payer: Payer, valkey) -> None:
    with apis[1].connect() as socket:
        provider = Provider(socket, market).sign_in()
        payment = paid(market, payer)
        provider.event("job:paid")
        redis.Redis.from_url(valkey.url).execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert provider.event("job:paid")["jobId"] == payment["jobId"]  # told anew once the subscription stands again
        again = paid(market, payer)
        assert provider.event("job:new")["jobId"] == again["jobId"]
