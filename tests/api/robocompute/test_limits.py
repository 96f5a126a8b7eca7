"""Requests are counted for each account by its tier, and every answer says how many are left."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from solders.keypair import Keypair

from app.api import allowances
from app.api.short_memory import ShortMemory
from app.core import accounts, rate_tiers, sign_ins
from app.errors import InvalidInput, NotFound
from app.factory import create_app
from app.relay.seats import Seats
from app.values.rate_tiers import per_minute
from app.wiring import Hub, connect_cache
from tests.api.robocompute.conftest import Person
from tests.factories.followed_tasks import FollowedTask
from tests.factories.wallet_requests import now_seconds, version_1, version_2

NOWHERE = "/api/v1/tasks/nowhere/at/all"
LIMIT, REMAINING, RESET = (f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Reset"))


@pytest.fixture
def processes(settings: Any) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    """Two apps that share nothing but their servers, as two gunicorn workers do."""
    apps = [create_app(replace(settings, rate_limits=True)) for _ in range(2)]
    yield apps[0].test_client(), apps[1].test_client()
    for app in apps:
        app.extensions["lightyard"].database.engine.dispose()


def hub_of(client: FlaskClient) -> Hub:
    app: Flask = client.application
    return app.extensions["lightyard"]  # type: ignore[no-any-return]


def holder(client: FlaskClient) -> Person:
    """Somebody whose key is good by itself."""
    return Person(client, hub_of(client), "ly_")


def told(answer: Any) -> tuple[int, int, int]:
    """Limit, remaining, and seconds until the reset."""
    values = [int(answer.headers[name]) for name in (LIMIT, REMAINING, RESET)]
    return values[0], values[1], values[2] - int(time.time())


def agree(person: Person, tier: str, number: int | None = None) -> None:
    with person.hub.database.unit_of_work() as session:
        rate_tiers.agree(session, person.account_id, tier, number)


def forget(client: FlaskClient) -> None:
    """As if what processes remember of accounts were too old."""
    app = client.application
    app.extensions[allowances._KNOWN] = ShortMemory(allowances.KNOWN_SECONDS, allowances.KNOWN_MOST)


def use(client: FlaskClient, key: str, times: int = 1, **options: Any) -> list[Any]:
    return [client.get(NOWHERE, headers={"Authorization": f"Bearer {key}"}, **options) for _ in range(times)]


def test_a_free_account_has_100_a_minute_over_all_processes_keys_and_addresses(processes: Any) -> None:
    first, second = processes
    person, other = holder(first), holder(first)
    with person.hub.database.unit_of_work() as session:
        another_key = accounts.create_key(session, person.account_id, "two", ["tasks:read"])
    answers = [use(processes[number % 2], (person.key, another_key)[number % 3 % 2])[0] for number in range(100)]
    assert {answer.status_code for answer in answers} == {404}
    assert [told(answer)[:2] for answer in answers] == [(100, left) for left in range(99, -1, -1)]
    resets = {int(answer.headers[RESET]) for answer in answers}
    assert max(resets) - min(resets) <= 1, "a window ends when its first request is a minute old"
    assert all(told(answer)[2] <= 60 for answer in answers)
    (over,) = use(second, person.key, environ_base={"REMOTE_ADDR": "10.1.2.3"})
    assert over.status_code == 429
    error = over.json["error"]
    assert (error["code"], set(error)) == ("RATE_LIMIT_EXCEEDED", {"code", "message", "details"})
    assert 1 <= error["details"]["retry_after"] == int(over.headers["Retry-After"]) <= 60
    assert told(over)[:2] == (100, 0) and 0 <= told(over)[2] <= 61
    assert abs(int(over.headers["Retry-After"]) - told(over)[2]) <= 1
    (free,) = use(first, other.key)
    assert free.status_code == 404 and told(free)[:2] == (100, 99), "another account from the same address"
    assert told(first.get(NOWHERE))[:2] == (100, 99), "and nobody at all"


@pytest.mark.parametrize(("tier", "number", "limit"), [("free", None, 100), ("pro", None, 1000), ("enterprise", 5, 5)])
def test_the_tier_is_the_accounts(processes: Any, tier: str, number: int | None, limit: int) -> None:
    client = processes[0]
    person = holder(client)
    agree(person, tier, number)
    assert told(use(client, person.key)[0])[:2] == (limit, limit - 1)
    if limit == 5:
        assert [answer.status_code for answer in use(client, person.key, 6)] == [404] * 4 + [429] * 2
        agree(person, "free")
        assert use(client, person.key)[0].status_code == 429, "for a moment"
        forget(client)
        assert told(use(client, person.key)[0])[:2] == (100, 94), "what was refused was not counted"


def test_a_smaller_share_counts_what_was_used_before(processes: Any) -> None:
    client = processes[0]
    person = holder(client)
    use(client, person.key, 8)
    agree(person, "enterprise", 5)
    forget(client)
    (answer,) = use(client, person.key)
    assert answer.status_code == 429 and told(answer)[:2] == (5, 0) and 1 <= int(answer.headers["Retry-After"]) <= 60


def test_what_is_a_minute_old_is_free_again(processes: Any) -> None:
    client = processes[0]
    person, cache = holder(client), hub_of(client).cache
    agree(person, "enterprise", 3)
    use(client, person.key, 3)
    name = f"limit:robocompute:account:{person.account_id}"
    for place in (-1, -2):
        cache.lset(name, place, int(cache.lindex(name, place)) - 60_000)
    assert [told(answer)[1] for answer in use(client, person.key, 2)] == [1, 0]
    assert use(client, person.key)[0].status_code == 429


def test_a_sign_in_counts_with_its_accounts_keys_and_a_bad_credential_by_its_address(processes: Any) -> None:
    client = processes[0]
    person = holder(client)
    with person.hub.database.unit_of_work() as session, client.application.app_context():
        signed_in = sign_ins.begin(session, person.account_id)
        token = allowances.tokens.make_pair(signed_in)["access_token"]
    use(client, person.key)
    assert told(use(client, token)[0])[1] == 98
    for key in ("ly_unknown", "rc_live_unknown", "a.b.c", token[:-3] + "xxx", "x"):
        answer = use(client, key)[0]
    assert told(answer)[1] == 95, "all five of the address"
    with person.hub.database.unit_of_work() as session:
        assert sign_ins.end(session, signed_in.id)
    assert told(use(client, token)[0])[1] == 97, "for a moment"
    forget(client)
    assert told(use(client, token)[0])[1] == 94, "a sign-in that is over is nobody's"
    assert told(use(client, person.key)[0])[1] == 96


TASKS = "/api/v1/tasks"


def wrongs(person: Person, path: str) -> list[dict[str, str]]:
    """What a stranger makes of a key without its wallet: no signature, one of its own, an old one, one that was used."""
    good = version_1(person.keypair, person.key, "GET", path)
    used = version_2(person.keypair, person.key, "GET", path)
    assert person.client.get(path, headers=used).status_code == 200
    return [
        {"Authorization": good["Authorization"]},
        version_1(Keypair(), person.key, "GET", path),
        version_1(person.keypair, person.key, "GET", path, now_seconds() - 1000),
        version_2(Keypair(), person.key, "GET", path),
        good,  # outdated: the key has signed with version 2
        used,
    ]


def test_who_has_the_key_and_not_the_wallet_spends_nothing_of_its_account(processes: Any) -> None:
    """By whichever process, over what a route asks and over what no route is; it gets its own 429, and the owner goes on."""
    client, second = processes
    person = Person(client, hub_of(client))
    agree(person, "enterprise", 9)
    stranger = {"environ_base": {"REMOTE_ADDR": "10.9.9.9"}}
    heads, cache = wrongs(person, TASKS), hub_of(client).cache
    seconds, _ = cache.time()
    cache.lpush("limit:robocompute:address:10.9.9.9", *[int(seconds) * 1000] * 90)  # it has been at it for a while
    answers = [processes[number % 2].get(TASKS, headers=head, **stranger) for number, head in enumerate(heads)]
    assert {answer.status_code for answer in answers} == {401}
    assert [told(answer)[:2] for answer in answers] == [(100, left) for left in range(9, 3, -1)]
    signed = version_2(person.keypair, person.key, "GET", NOWHERE)
    cases = [
        (404, client.get(NOWHERE, headers=signed, **stranger)),
        (400, client.post(TASKS, data=b"NaN", headers=signed | {"Content-Type": "application/json"}, **stranger)),
        (415, client.post(TASKS, data=b"{", headers=signed | {"Content-Encoding": "gzip"}, **stranger)),
        (401, client.get(f"{TASKS}?token={person.key}", **stranger)),
        *[(429, second.get(TASKS, headers=head, **stranger)) for head in heads],
        (429, client.post(TASKS, data=b"NaN", headers=signed | {"Content-Type": "application/json"}, **stranger)),
    ]
    for status, answer in cases:
        assert (answer.status_code, told(answer)[0]) == (status, 100), answer.json
        assert ("Retry-After" in answer.headers) == (status == 429)
    assert cases[-1][1].json["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    answers = [client.get(TASKS, headers=version_2(person.keypair, person.key, "GET", TASKS), **stranger) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 8 + [429] * 2, "from the same address, too"
    assert [told(answer)[:2] for answer in answers] == [(9, left) for left in (*range(7, -1, -1), 0, 0)]


def test_what_is_refused_for_its_number_was_signed_and_is_used_up(processes: Any) -> None:
    client = processes[0]
    person = Person(client, hub_of(client))
    agree(person, "enterprise", 1)
    heads = [version_2(person.keypair, person.key, "GET", TASKS) for _ in range(2)]
    assert [client.get(TASKS, headers=head).status_code for head in heads] == [200, 429]
    hub_of(client).cache.delete(f"limit:robocompute:account:{person.account_id}")
    again = client.get(TASKS, headers=heads[1])
    assert (again.status_code, again.json["error"]["details"]["reason"]) == (401, "replayed")


def test_strange_keys_make_nobodys_good_one_forgotten(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = processes[0]
    known, strange = (client.application.extensions[name] for name in (allowances._KNOWN, allowances._STRANGE))
    for memory in (known, strange):
        monkeypatch.setattr(memory, "_most", 3)
        monkeypatch.setattr(memory, "_seconds", 3600)
    person = holder(client)
    use(client, person.key)
    asked: list[str] = []
    look_up = allowances._look_up
    monkeypatch.setattr(allowances, "_look_up", lambda token: (asked.append(token), look_up(token))[1])
    for number in (1, 2, 3, 4, 3, 2, 5, 3, 1):
        use(client, f"ly_unknown{number}")
    use(client, person.key)
    assert asked == [f"ly_unknown{number}" for number in (1, 2, 3, 4, 5, 1)], "who was asked for longest ago goes first"
    assert (len(known), len(strange)) == (1, 3)


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def shake(person: Person, token: str | None = None, **head: str) -> Any:
    """A stream's handshake as far as Flask's client can take it: 400 once everything else is well."""
    task = FollowedTask(person.hub.database, person.account_id)
    path = f"{TASKS}/{task.id}/stream" + (f"?token={token}" if token else "")
    return person.client.get(path, headers=HANDSHAKE | head)


def test_a_stream_counts_for_whom_it_lets_in(processes: Any) -> None:
    """One credential is looked at and counted, whatever else was sent beside."""
    client = processes[0]
    person, other = holder(client), holder(client)
    agree(person, "pro")
    agree(other, "enterprise", 50)
    cases = [
        (shake(person, Authorization=f"Bearer {person.key}"), 400, 999),
        (shake(person, person.key), 400, 998),
        (shake(person, person.key, Authorization=f"Bearer {other.key}"), 400, 997),
        (shake(person, other.key, Authorization=f"Bearer {person.key}"), 404, 49),
        (shake(person, "ly_unknown", Authorization=f"Bearer {person.key}"), 401, 99),
        (shake(person), 401, 98),
    ]
    for answer, status, remaining in cases:
        assert (answer.status_code, told(answer)[1]) == (status, remaining), answer.json
    assert told(client.get(f"{NOWHERE}?token={person.key}"))[1] == 97, "no stream"
    signer = Person(client, hub_of(client))
    task = FollowedTask(signer.hub.database, signer.account_id)
    path = f"{TASKS}/{task.id}/stream?token={signer.key}"
    signed = {name: value for name, value in version_2(signer.keypair, signer.key, "GET", path).items() if name[0] == "X"}
    for head, status, remaining in ((signed, 400, 99), (signed, 401, 96), ({}, 401, 95)):
        answer = client.get(path, headers=HANDSHAKE | head)
        assert (answer.status_code, told(answer)[1]) == (status, remaining), answer.json


def test_an_account_has_so_many_streams_over_all_processes(processes: Any) -> None:
    client, second = processes
    person, other = holder(client), holder(client)
    seats = [app.extensions["lightyard_task_streams"].seats for app in (client.application, second.application)]
    for each in seats:
        each._most = 3
    cache, head = hub_of(client).cache, {"Authorization": f"Bearer {person.key}"}
    taken = [seats[number % 2].take(person.account_id) for number in range(2)]
    assert shake(person, **head).status_code == 400, "one more would be let in"
    assert cache.zcard(taken[0].key) == 2, "and leaves where no socket came of it"
    taken.append(seats[1].take(person.account_id))
    refused = shake(person, **head)
    error = refused.json["error"]
    assert (refused.status_code, error["code"], error["details"]["limit"]) == (429, "TOO_MANY_STREAMS", 3)
    assert 1 <= int(refused.headers["Retry-After"]) == error["details"]["retry_after"] <= 90 and told(refused)[0] == 100
    assert shake(other, Authorization=f"Bearer {other.key}").status_code == 400
    cache.delete(taken[0].key)  # Valkey began anew, and hears of all that are open
    for each in seats:
        each.renew()
    assert shake(person, **head).status_code == 429
    cache.zadd(taken[0].key, {str(taken[0].number): 1})  # of a process that died
    assert shake(person, **head).status_code == 400
    seats[1].leave(taken[1])
    seats[1].leave(taken[1])
    seats[1].renew()
    assert cache.zcard(taken[0].key) == 1
    away = Seats(connect_cache("redis://127.0.0.1:1/0"), 1)
    assert [away.take(person.account_id).account_id for _ in range(2)] == [person.account_id] * 2
    for each in (*seats, away):
        each.stop()


def every_kind_of_answer(client: FlaskClient) -> list[tuple[int, Any]]:
    person = holder(client)
    good = {"Authorization": f"Bearer {person.key}"}
    large = b"[" + b" " * (2**20 + 1) + b"]"
    return [
        (404, client.get("/api/v1/tasks/no/such/place", headers=good)),
        (404, client.get("/api/v1/providers/no/such/place/at/all")),
        (400, client.post(NOWHERE, data=b"NaN", headers=good | {"Content-Type": "application/json"})),
        (413, client.post(NOWHERE, data=large, headers=good | {"Content-Type": "application/json"})),
        (415, client.post(NOWHERE, data=b"x", headers=good | {"Content-Encoding": "gzip"})),
        (404, client.options("/api/v1/wallet/nowhere")),
        (404, client.head("/api/v1/billing/nowhere")),
    ]


@pytest.mark.parametrize("where", ["on", "off", "away"])
def test_every_answer_tells(settings: Any, where: str) -> None:
    app = create_app(replace(settings, rate_limits=where != "off"))
    if where == "away":
        object.__setattr__(app.extensions["lightyard"], "cache", connect_cache("redis://127.0.0.1:1/0"))
    for status, answer in every_kind_of_answer(app.test_client()):
        assert answer.status_code == status
        limit, remaining, seconds = told(answer)
        assert limit == 100 and 0 <= seconds <= 61
        assert remaining == 100 if where != "on" or answer.request.method == "OPTIONS" else remaining < 100
    assert REMAINING not in app.test_client().get("/providers").headers, "other dialects have limits of their own"
    app.extensions["lightyard"].database.engine.dispose()


def test_a_crash_tells_too(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(settings)

    def crash(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("app.api.bodies.check_json", crash)
    answer = app.test_client().post(NOWHERE, json={})
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "INTERNAL")
    assert told(answer)[:2] == (100, 100)
    app.extensions["lightyard"].database.engine.dispose()


def test_whose_a_credential_is_is_asked_for_again(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = processes[0]
    person = holder(client)
    assert told(use(client, person.key)[0])[0] == 100
    agree(person, "pro")
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + allowances.KNOWN_SECONDS)
    monkeypatch.setattr("app.api.short_memory.time", later)
    assert told(use(client, person.key)[0])[0] == 1000


def test_tiers(hub: Hub, stranger: Person) -> None:
    assert [per_minute(tier, None) for tier in ("free", "pro", "enterprise", "odd")] == [100, 1000, 1000, 100]
    assert per_minute("enterprise", 7) == 7
    with hub.database.unit_of_work() as session:
        for tier, number in (("gold", None), ("enterprise", None), ("pro", 5), ("enterprise", 0), ("enterprise", 10**6)):
            with pytest.raises(InvalidInput):
                rate_tiers.agree(session, stranger.account_id, tier, number)
        with pytest.raises(NotFound):
            rate_tiers.agree(session, uuid.uuid4(), "pro")
