"""Workers asked over real sockets: what is read of a sound one, and what a strange one costs."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.adapters.cocoon_worker import CocoonWorkerClient, WorkerTrouble, check_address, coefficient_text
from app.errors import InvalidInput
from app.values import worker_stats
from tests.factories import cocoon_workers
from tests.factories.cocoon_workers import FakeWorker, Farm

LIMIT = 100_000


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with cocoon_workers.farm() as made:
        yield made


def ask(method: str, host: str, port: int, *arguments: Any, allow_private: bool = True, **options: Any) -> Any:
    client = CocoonWorkerClient(allow_private, options.pop("timeout", 5), LIMIT, **options)
    try:
        return asyncio.run(getattr(client, method)(host, port, *arguments))
    finally:
        client.close()


def trouble(host: str, port: int, **options: Any) -> str:
    with pytest.raises(WorkerTrouble) as found:
        ask("stats", host, port, **options)
    return found.value.kind


def test_a_sound_worker_is_read(farm: Farm) -> None:
    stats = worker_stats.read(ask("stats", "localhost", farm.add(FakeWorker())))
    assert (stats.requests, stats.failed, stats.time_seconds, stats.coefficient) == (1200, 12, 2400.0, 1000)
    assert stats.earned == {"EQproxyA": 4_000_000, "EQproxyB": 1_000_000} and stats.fee_per_token == 25
    assert stats.is_initialised and stats.is_image_actual and stats.is_model_actual and stats.proxies == 2


def test_a_body_that_ends_with_its_connection_is_whole(farm: Farm) -> None:
    assert worker_stats.read(ask("stats", "127.0.0.1", farm.add(FakeWorker(mode="no_length")))).requests == 1200


@pytest.mark.parametrize(("mode", "kind"), [
    ("disconnect", "unreachable"), ("redirect", "redirected"), ("error", "bad_answer"), ("huge", "too_large"),
    ("endless", "too_large"), ("endless_head", "unreachable"), ("crumbs", "too_large"),
])
def test_a_strange_one_is_trouble_of_its_kind(farm: Farm, mode: str, kind: str) -> None:
    assert trouble("127.0.0.1", farm.add(FakeWorker(mode=mode))) == kind


@pytest.mark.parametrize("mode", ["slow", "trickle"])
def test_all_of_an_exchange_has_one_deadline(farm: Farm, mode: str) -> None:
    began = time.monotonic()
    assert trouble("127.0.0.1", farm.add(FakeWorker(mode=mode)), timeout=0.3) == "timeout"
    assert time.monotonic() - began < 30  # and not for ever


@pytest.mark.parametrize("mode", ["html", "garbage"])
def test_what_is_no_workers_answer_is_none(farm: Farm, mode: str) -> None:
    with pytest.raises(worker_stats.NotAWorker):
        worker_stats.read(ask("stats", "127.0.0.1", farm.add(FakeWorker(mode=mode))))


def test_a_closed_port_and_an_unknown_name_are_unreachable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert trouble("127.0.0.1", held.getsockname()[1]) == "unreachable"
    assert trouble("no-such-host.invalid", 12_000) == "unreachable"


def test_private_addresses_are_refused_unless_allowed(farm: Farm) -> None:
    worker = FakeWorker()
    port = farm.add(worker)
    assert trouble("127.0.0.1", port, allow_private=False) == "refused"
    # a public name whose address is private when it is looked up
    assert trouble("workers.example.org", port, allow_private=False, resolver=lambda host, port: ["10.0.0.7"]) == "refused"
    assert worker.asked == []


def test_a_name_is_looked_up_once_a_minute(farm: Farm) -> None:
    looked_up, now = list[str](), [0.0]

    def resolver(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    port = farm.add(FakeWorker())
    client = CocoonWorkerClient(True, 5, LIMIT, resolver=resolver, clock=lambda: now[0])

    async def twice() -> None:
        await client.stats("w.example.org", port)
        await client.stats("w.example.org", port)
        assert looked_up == ["w.example.org"]
        now[0] = 61.0
        await client.stats("w.example.org", port)

    asyncio.run(twice())
    client.close()
    assert looked_up == ["w.example.org"] * 2


def test_a_name_that_is_slow_to_look_up_takes_one_thread_a_minute_and_then_less_often() -> None:
    looked_up, done, now = list[str](), threading.Event(), [0.0]

    def resolver(host: str, port: int) -> list[str]:
        looked_up.append(host)
        done.wait(60)
        return ["127.0.0.1"]

    client = CocoonWorkerClient(True, 0.2, LIMIT, resolver=resolver, clock=lambda: now[0])

    async def thrice() -> None:
        for _ in range(3):
            with pytest.raises(WorkerTrouble) as found:
                await client.stats("slow.example.org", 12_000)
            assert found.value.kind == "timeout"

    for moment, times in ((0.0, 1), (59.0, 1), (61.0, 2), (180.0, 2), (182.0, 3), (10_000.0, 4)):
        now[0] = moment
        asyncio.run(thrice())
        assert looked_up == ["slow.example.org"] * times
    done.set()
    client.close()


def test_an_address_does_not_wait_behind_names_that_are_slow_to_look_up(farm: Farm) -> None:
    done = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        done.wait(60)
        return ["127.0.0.1"]

    port, client = farm.add(FakeWorker()), CocoonWorkerClient(True, 5, LIMIT, resolver=resolver)

    async def side_by_side() -> None:
        slow = [asyncio.create_task(client.stats(f"slow{number}.example.org", 12_000)) for number in range(64)]
        await asyncio.sleep(0)  # all of them are asked for
        assert await client.stats("127.0.0.1", port)
        for task in slow:
            task.cancel()
        done.set()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(side_by_side())
    client.close()


@pytest.mark.parametrize("host", [
    "localhost/x?", "a@b.example", "a b", "", "0x7f000001", "2130706433", "169.254.169.254", "a\nb", "http://a", "a#", "[::1",
])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        check_address(host, 12_000, True)


@pytest.mark.parametrize("port", [0, 22, 5432, 65_536, -1])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(InvalidInput):
        check_address("worker.example.org", port, True)


def test_the_worker_ends_with_the_price_that_was_meant() -> None:
    for thousandths in range(100_000):
        assert int(float(coefficient_text(thousandths)) * 1000) == thousandths


def test_a_worker_is_switched_and_priced(farm: Farm) -> None:
    worker = FakeWorker()
    port = farm.add(worker)
    assert ask("is_enabled", "127.0.0.1", port) is True
    ask("switch", "127.0.0.1", port, False)
    assert not worker.is_enabled and ask("is_enabled", "127.0.0.1", port) is False
    ask("set_coefficient", "127.0.0.1", port, 1005)
    assert worker.coefficient == 1005 and "/request/change_coefficient?coefficient=1.005001" in worker.asked
