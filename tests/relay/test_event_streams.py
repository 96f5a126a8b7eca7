"""A render's events over two real processes: a client that is cut off again and again, at either, misses nothing."""

import json
import random
import socket as sockets
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.config import load
from app.core import accounts
from app.wiring import Hub, build
from tests.factories.render_market import Renders
from tests.factories.stacks import wait_until
from tests.relay.conftest import Api, running_api


@pytest.fixture
def environment(database_url: str, redis_url: str, tmp_path: Any) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url, "REDIS_URL": redis_url, "LIGHTYARD_HOME": str(tmp_path), "RATE_LIMITS": "off",
        "SOLANA_RPC_URL": "http://127.0.0.1:9", "EVENT_HEARTBEAT_SECONDS": "60",
    }  # fmt: skip


@pytest.fixture
def hub(environment: dict[str, str]) -> Iterator[Hub]:
    found = build(load(environment))
    yield found
    found.database.engine.dispose()


def read(api: Api, path: str, key: str, last: int | None, most: int) -> tuple[list[tuple[int, dict[str, Any]]], bool]:
    """Up to `most` events, then the connection is dropped without a goodbye; and whether the stream came to its end."""
    head = {"Authorization": f"Bearer {key}"} | ({} if last is None else {"Last-Event-ID": str(last)})
    found: list[tuple[int, dict[str, Any]]] = []
    with httpx.Client(base_url=api.url, timeout=30) as client, client.stream("GET", path, headers=head) as answer:
        if answer.status_code == 204:
            return found, True
        assert answer.status_code == 200, answer.read()
        number = 0
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event" and value == "end":
                return found, True
            elif name == "data":
                found.append((number, json.loads(value)))
                if len(found) == most:
                    return found, False
    raise AssertionError("a stream that ends does so with a word")


def test_a_client_that_is_cut_off_at_two_processes_misses_nothing(environment: dict[str, str], hub: Hub, tmp_path: Any) -> None:
    renders = Renders(hub.database)
    with hub.database.unit_of_work() as session:
        key = accounts.create_key(session, renders.account_id, "test", ["jobs:read"])
    node = renders.node()
    job_id = renders.place(40, window_units=8)
    path = f"/rnp/v1/jobs/{job_id}/events"
    with running_api(environment, tmp_path / "a.log") as one, running_api(environment, tmp_path / "b.log") as two:

        def work() -> None:
            while taken := renders.claim(node, 3):
                renders.complete(taken)

        worker = threading.Thread(target=work)
        worker.start()
        chance, seen, is_over, cuts = random.Random(3), [], False, 0
        while not is_over:
            found, is_over = read(chance.choice((one, two)), path, key, seen[-1][0] if seen else None, chance.randint(1, 12))
            seen += found
            cuts += 1
        worker.join()
        assert [number for number, _ in seen] == list(range(1, len(seen) + 1)) and cuts > 5
        done = [data["frame"] for _, data in seen if data.get("frame") is not None and data["status"] == "completed"]
        assert sorted(done) == list(range(1, 41))
        assert seen[-1][1]["frames_completed"] == 40
        assert_bounded(one, two, hub, renders, key)


def assert_bounded(one: Api, two: Api, hub: Hub, renders: Renders, key: str) -> None:
    """Over both processes; a client that goes without a word makes room at once, long before a heartbeat."""
    path = f"/rnp/v1/jobs/{renders.place(1)}/events"
    opened = []
    wait_until(lambda: not hub.cache.zcard(f"streams:{renders.account_id}"), "places are free again", 50)
    for api in (one, two) * 10:
        line = sockets.create_connection(("127.0.0.1", api.port))
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert b" 200 " in line.recv(64)
        opened.append(line)
    full = two.get(path, headers={"Authorization": f"Bearer {key}"})
    assert (full.status_code, full.json["error"]["code"]) == (429, "TOO_MANY_STREAMS")
    for line in opened:
        line.close()
    wait_until(lambda: not hub.cache.zcard(f"streams:{renders.account_id}"), "places are free again", 50)
    found, _ = read(two, path, key, None, 1)
    assert found[0][1]["status"] == "queued"
