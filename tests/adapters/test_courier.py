"""Messages to RabbitMQ are carried beside the requests: whatever the broker does, nobody waits for it."""

import socket
import threading
from typing import Any

import pytest

from app.adapters import courier
from app.adapters.courier import FAILURES, Courier, Line, Order
from app.config import Settings
from app.wiring import make_celery

LONG_SECONDS = 60
RING: Order = ("gpu_node.ring", ["1"], "render.somebody", {})


class FakeLine(Line):
    """What a broker might do, one message after the other: answer, fail, or stay silent until told."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes, self.tried = list(outcomes), list[Order]()
        self.may_go, self.has_gone = threading.Event(), threading.Event()
        self.may_go.set()

    def send(self, order: Order) -> None:
        self.may_go.wait(LONG_SECONDS)
        self.tried.append(order)
        self.has_gone.set()
        if self.outcomes and (outcome := self.outcomes.pop(0)) is not None:
            raise outcome


def test_who_orders_does_not_wait_and_what_there_is_no_room_for_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "WAITING_ORDERS", 3)
    line = FakeLine()
    line.may_go.clear()
    carrier = Courier({}, line)
    for _ in range(10):
        carrier.take(*RING)  # comes back, though nothing goes out
    line.may_go.set()
    assert line.has_gone.wait(LONG_SECONDS) and len(line.tried) <= 4


def test_a_dead_line_is_left_alone_for_a_moment_and_the_other_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "AWAY_SECONDS", LONG_SECONDS)
    nodes, hub = FakeLine(OSError("away")), FakeLine()
    carrier = Courier({"hub": hub}, nodes)
    carrier.carry(RING)
    carrier.carry(RING)
    carrier.carry(("hub.sweep", [], "hub", {}))
    assert (len(nodes.tried), len(hub.tried)) == (1, 1)


def test_a_line_that_is_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "AWAY_SECONDS", 0)
    line = FakeLine(OSError("away"), None, OSError("away"), None)
    carrier = Courier({}, line)
    for _ in range(4):
        carrier.carry(RING)
    assert len(line.tried) == 4 and not line.outcomes


def test_the_thread_that_carries_outlives_what_nobody_thought_of() -> None:
    line = FakeLine(ValueError("a bug"), None)
    carrier = Courier({}, line)
    carrier.take(*RING)
    assert line.has_gone.wait(LONG_SECONDS)
    line.has_gone.clear()
    carrier.take(*RING)
    assert line.has_gone.wait(LONG_SECONDS)


def test_a_broker_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections; nobody reads them
        url = f"amqp://user:password@127.0.0.1:{silent.getsockname()[1]}//"
        line, found = Line(make_celery(Settings(broker_url=url)), url), list[Exception]()

        def send() -> None:
            try:
                line.send(RING)
            except FAILURES as error:
                found.append(error)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        sending.join(LONG_SECONDS)
    assert not sending.is_alive() and len(found) == 1


def test_the_broker_of_the_command_line_is_not_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """`celery` takes BROKER_URL from the environment and makes it the address of every app in its process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("CELERY_BROKER_URL", "amqp://user:password@127.0.0.1:1//")
        url = f"amqp://user:password@127.0.0.1:{server.getsockname()[1]}/nodes"
        line = Line(make_celery(Settings(broker_url="amqp://user:password@127.0.0.1:1//")), url)
        came: list[Any] = []
        server.settimeout(LONG_SECONDS)

        def answer() -> None:
            peer, _ = server.accept()
            came.append(peer.recv(8))
            peer.close()

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        with pytest.raises(FAILURES):
            line.send(RING)
        answering.join(LONG_SECONDS)
    assert came == [b"AMQP\x00\x00\x09\x01"]
