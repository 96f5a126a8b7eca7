"""A job's events as a stream: all of them once and in order, however often the client is cut off."""

import contextlib
import fcntl
import json
import socket as sockets
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from app.adapters import task_news
from app.adapters.open_streams import OpenStreams
from app.api import tokens
from app.api.rnp019 import event_feed, event_words, events
from app.core import accounts, api_keys, job_events, render_orders, sign_ins
from app.db import Session
from app.models.accounts import ApiKey
from app.models.job_events import JobEvent
from app.models.jobs import Job
from app.models.render_orders import RenderOrder
from app.values import clock
from app.wiring import Hub
from tests.api.conftest import UNKNOWN
from tests.api.rnp019.conftest import refused
from tests.factories.rendered_jobs import RenderedJobs
from tests.factories.task_market import moving_clock


@pytest.fixture
def renders(client: FlaskClient, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenderedJobs]:
    monkeypatch.setattr(event_feed, "PACE_SECONDS", 0.0)
    yield RenderedJobs(client, hub)
    hub.task_news.stop()


class Told:
    """A piece of a stream, read."""

    def __init__(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
        self.name, self.id = fields["event"], int(fields["id"]) if "id" in fields else None
        self.data: dict[str, Any] = json.loads(fields["data"])


@contextlib.contextmanager
def stream(renders: RenderedJobs, job_id: object, last: int | None = None, **options: Any) -> Iterator[Iterator[Told]]:
    head = {} if last is None else {"Last-Event-ID": str(last)}
    answer = renders.get(job_id, "/events", headers=head, buffered=False, **options)
    assert answer.status_code == 200, answer.json
    assert answer.mimetype == "text/event-stream"
    try:
        yield pieces(answer)
    finally:
        answer.close()


def pieces(answer: Any) -> Iterator[Told]:
    for chunk in answer.iter_encoded():
        for text in chunk.decode().split("\n\n"):
            if text and not text.startswith((":", "retry:")):
                yield Told(text)


def take(told: Iterator[Told], count: int) -> list[Told]:
    return [next(told) for _ in range(count)]


def test_a_stream_tells_all_of_a_job_and_ends_with_it(renders: RenderedJobs) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(2)
        with stream(renders, job_id) as told:
            (begin,) = take(told, 1)
            assert (begin.name, begin.id, begin.data["status"], begin.data["limit"]) == ("job", 1, "queued", "0.20000000")
            taken = renders.claim(node, 2)
            assert {(item.name, item.data["status"]) for item in take(told, 3)} == {("job", "rendering"), ("frame", "rendering")}
            hours.wait(5)
            renders.complete(taken)
            rest = list(told)
    frames = sorted((item.data for item in rest if item.name == "frame"), key=lambda item: item["frame"])
    assert [(item["frame"], item["status"], item["seconds"], item["cost"], item["attempts"]) for item in frames] == [
        (1, "completed", 5, "0.05000000", 1), (2, "completed", 5, "0.05000000", 1)
    ]  # fmt: skip
    assert {item["current_cost"] for item in frames} == {"0.10000000"} and frames[0]["asset"] == "RCREDIT"
    over = rest[-2]
    assert (over.name, over.data["status"], over.data["settled"], over.data["frames_completed"]) == ("job", "completed", True, 2)
    assert (rest[-1].name, rest[-1].id, rest[-1].data) == ("end", None, {"status": "completed"})
    assert [item.id for item in rest[:-1]] == list(range(5, 5 + len(rest) - 1))
    assert renders.get(job_id, "/events", headers={"Last-Event-ID": str(over.id)}).status_code == 204
    assert renders.get(job_id, f"/events?after={over.id}").status_code == 204


def test_a_client_that_is_cut_off_for_30_s_misses_nothing(renders: RenderedJobs) -> None:
    with moving_clock() as hours:
        node = renders.node()
        job_id = renders.place(9)
        with stream(renders, job_id) as told:
            renders.complete(renders.claim(node, 1))
            seen = take(told, 4)
        renders.complete(renders.claim(node, 2))
        with stream(renders, job_id, seen[-1].id) as told:
            seen += take(told, 2)
        hours.wait(30)
        while taken := renders.claim(node, 3):
            renders.complete(taken)
        with stream(renders, job_id, seen[-1].id) as told:
            seen += [item for item in told if item.name != "end"]
    assert [item.id for item in seen] == list(range(1, len(seen) + 1))
    done = [item.data["frame"] for item in seen if item.name == "frame" and item.data["status"] == "completed"]
    assert sorted(done) == list(range(1, 10))
    assert [item.data["frames_completed"] for item in seen] == sorted(item.data["frames_completed"] for item in seen)
    assert seen[-1].data["current_cost"] == str(renders.order(job_id).charged_minor / 10**8).ljust(10, "0")


def test_a_pause_and_a_cap_are_told_as_they_happen(renders: RenderedJobs) -> None:
    job_id = renders.place(2, mode="pay_before_download")
    with stream(renders, job_id) as told, ThreadPoolExecutor(1) as pool:
        take(told, 1)
        later = pool.submit(next, told)  # waits for what has not happened yet
        with renders.database.unit_of_work() as session:
            render_orders.pause(session, renders.account_id, job_id)
        assert (later.result(60).data["status"], renders.job(job_id).reason_code) == ("paused", "PAUSED_BY_OWNER")
        node = renders.node()
        with renders.database.unit_of_work() as session:
            render_orders.resume(session, renders.account_id, job_id)
        renders.complete(renders.claim(node, 2))
        ends = [item for item in take(told, 7) if item.name == "job"]
        assert (ends[-1].data["status"], ends[-1].data["settled"]) == ("completed", False)
        with renders.database.unit_of_work() as session:  # as its payment does: until then there is more to come
            session.execute(update(RenderOrder).where(RenderOrder.job_id == job_id).values(settled_at=clock.now()))
        renders.hub.task_news._tell(None)
        assert [(item.name, item.data.get("settled")) for item in told] == [("job", True), ("end", None)]


def test_an_idle_stream_says_that_it_is_there_and_ends_in_time(renders: RenderedJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = renders.place(1)
    hub = replace(renders.hub, settings=replace(renders.hub.settings, event_heartbeat_seconds=0, event_stream_seconds=1))
    monkeypatch.setitem(renders.client.application.extensions, "lightyard", hub)
    began = time.monotonic()
    answer = renders.get(job_id, "/events", buffered=False)
    found = b"".join(answer.iter_encoded()).decode()
    answer.close()
    assert found.startswith("retry: 2000\n\nid: 1\nevent: job\n") and ": still here\n\n" in found
    assert "event: end" not in found and time.monotonic() - began > 1


def test_hints_that_are_no_news_keep_no_heartbeat_back_and_nobody_who_is_gone(renders: RenderedJobs) -> None:
    """Nodes at long frames say all the time how far they are."""
    job_id, looks = renders.place(1), []
    hub = replace(renders.hub, settings=replace(renders.hub.settings, event_heartbeat_seconds=0, event_stream_seconds=20))

    def look(_: Session) -> None:
        looks.append(job_id)
        hub.task_news._tell(str(job_id))  # before it waits again

    follower = event_feed.Follower(renders.account_id, job_id, look, lambda: None, lambda: len(looks) == 4)
    told = list(event_feed.Feed(hub, follower, 0).lines())
    assert len(looks) == 4 and told[2:] == [event_words.HEARTBEAT] * 3


def test_a_key_that_is_revoked_is_told_nothing_more(renders: RenderedJobs) -> None:
    job_id = renders.place(1)
    with stream(renders, job_id) as told:
        take(told, 1)
        with renders.database.unit_of_work() as session:
            session.execute(update(ApiKey).where(ApiKey.account_id == renders.account_id).values(revoked_at=clock.now()))
            render_orders.pause(session, renders.account_id, job_id)
        (last,) = list(told)
        assert (last.name, last.data["code"]) == ("refused", "INVALID_API_KEY")


@pytest.mark.parametrize("by", ["key", "sign-in"])
def test_an_idle_stream_ends_at_once_with_its_key(renders: RenderedJobs, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(task_news, "LOOK_SECONDS", 600.0)
    job_id = renders.place(1)
    with renders.database.unit_of_work() as session, renders.client.application.app_context():
        (key,), signed_in = api_keys.of_account(session, renders.account_id), sign_ins.begin(session, renders.account_id)
        token = renders.key if by == "key" else tokens.make_pair(signed_in)["access_token"]
    with stream(renders, job_id, key=token) as told, ThreadPoolExecutor(1) as pool:
        take(told, 1)
        later = pool.submit(next, told)
        with renders.database.unit_of_work() as session:
            if by == "key":
                api_keys.revoke(session, renders.account_id, key.id)
            else:
                assert sign_ins.end(session, signed_in.id)
        assert (later.result(60).name, list(told)) == ("refused", [])


def test_streams_are_bounded_and_a_closed_one_makes_room(renders: RenderedJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = renders.place(1)
    seats = events.Seats(OpenStreams(renders.hub.cache, 60), 2, 3)
    monkeypatch.setitem(renders.client.application.extensions, "lightyard_event_streams", seats)
    other = renders.account("1")
    with contextlib.ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(stream(renders, job_id))
        answer = renders.get(job_id, "/events")
        refused(answer, 429, "TOO_MANY_STREAMS")
        assert answer.headers["Retry-After"] == "5"
        seats.take(other)
        refused(renders.get(job_id, "/events"), 503, "TOO_MANY_STREAMS")
    with stream(renders, job_id) as told:
        assert next(told).id == 1


def test_a_client_that_hung_up_is_noticed_by_any_socket_of_a_busy_process() -> None:
    one, other = sockets.socketpair()
    with sockets.socket(fileno=fcntl.fcntl(one.detach(), fcntl.F_DUPFD, 1100)) as ours, other:
        assert ours.fileno() > 1024, "what select() can't look at"
        ours.settimeout(events.SEND_SECONDS)
        assert not events._has_hung_up(ours)
        other.sendall(b"x")
        assert not events._has_hung_up(ours) and ours.recv(9) == b"x"
        other.close()
        assert events._has_hung_up(ours) and ours.gettimeout() == events.SEND_SECONDS
    assert events._has_hung_up(ours) and not events._has_hung_up(None)


def test_a_process_that_died_keeps_no_place_and_a_cache_that_is_away_stops_nobody(renders: RenderedJobs) -> None:
    account_id = uuid.uuid4()
    short = OpenStreams(renders.hub.cache, 60)
    assert short.take(account_id, "a", 1) and not short.take(account_id, "b", 1)
    assert short.take(account_id, "a", 1), "who has a place keeps it"
    renders.hub.cache.zadd(f"streams:{account_id}", {"a": 1})  # its time was over long ago
    assert short.take(account_id, "b", 1)
    away = OpenStreams(redis.Redis(port=9, socket_connect_timeout=1), 60)
    assert away.take(account_id, "c", 1) and away.take(account_id, "d", 1)
    away.leave(account_id, "c")


def test_a_late_client_hears_how_much_is_gone(renders: RenderedJobs) -> None:
    node = renders.node()
    job_id = renders.place(1)
    renders.complete(renders.claim(node, 1))
    with stream(renders, job_id) as told:
        count = len([item for item in told if item.id is not None])
    with renders.database.unit_of_work() as session:
        session.execute(delete(JobEvent).where(JobEvent.job_id == job_id, JobEvent.sequence < count))
    with stream(renders, job_id, 1) as told:
        assert [(item.name, item.id, item.data.get("skipped")) for item in told] == [
            ("skipped", count - 1, count - 2), ("job", count, None), ("end", None, None)
        ]  # fmt: skip
    with renders.database.unit_of_work() as session:
        session.execute(update(Job).where(Job.id == job_id).values(ended_at=clock.now().replace(year=2001)))
        assert job_events.forget_old(session, 1) == 1
    with stream(renders, job_id) as told:
        assert [(item.name, item.id) for item in told] == [("skipped", count), ("end", None)]


def test_bad_questions_are_refused_before_a_stream_begins(renders: RenderedJobs) -> None:
    job_id = renders.place(1)
    for text in ("x", "-1", "1.5", "٣", "9" * 16):
        refused(renders.get(job_id, f"/events?after={text}"), 400, "INVALID_INPUT")
    stranger = renders.key_of(renders.account("1"))
    refused(renders.get(job_id, "/events", stranger), 404, "JOB_NOT_FOUND")
    refused(renders.get(UNKNOWN, "/events"), 404, "JOB_NOT_FOUND")
    refused(renders.get(job_id, "/events", renders.key_of(renders.account_id, "scenes:read")), 403, "SCOPE_MISSING")
    with stream(renders, job_id, 10**9) as told, renders.database.unit_of_work() as session:
        render_orders.pause(session, renders.account_id, job_id)
    with stream(renders, job_id, 1) as told:
        assert next(told).data["status"] == "paused"
    with renders.database.unit_of_work() as session:
        other = accounts.ensure_identity(session, "solana", "elsewhere")
        session.execute(update(Job).where(Job.id == job_id).values(account_id=other))
    refused(renders.get(job_id, "/events"), 404, "JOB_NOT_FOUND")
