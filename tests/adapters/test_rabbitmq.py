"""RabbitMQ's management API, played by a few lines: order, failures and addresses. tests/system/rabbitmq has the real one."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.adapters import rabbitmq
from app.adapters.rabbitmq import RabbitMQ, check_addresses
from app.config import Settings
from app.errors import ConfigError, Unavailable
from app.wiring import malformed

API, BROKER = "http://hub:pw@rabbit:15672", "amqp://hub:pw@rabbit:5672//"


class Management:
    """Remembers what it was asked; `refusals` are statuses by the beginning of a path, each given once."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, object]]] = []
        self.refusals: dict[str, int] = {}
        management = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                management.calls.append((self.command, self.path, json.loads(self.rfile.read(length) or b"{}")))
                refused = next((path for path in management.refusals if self.path.startswith(path)), None)
                self.send_response(management.refusals.pop(refused) if refused else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_DELETE = do_PUT

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.calls]


@pytest.fixture
def management() -> Iterator[Management]:
    made = Management()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def rabbit(management: Management) -> RabbitMQ:
    return RabbitMQ(f"http://hub:pw@127.0.0.1:{management.server.server_port}", BROKER, "", "gpu nodes", 64)


def grant(rabbit: RabbitMQ) -> None:
    rabbit.grant("node.1", "s3cret", "^x$", ["render.1", "compute.1"])


def test_a_user_may_read_and_nothing_else(rabbit: RabbitMQ, management: Management) -> None:
    grant(rabbit)
    asked = {path: body for _, path, body in management.calls}
    assert asked["/api/users/node.1"] == {"password": "s3cret", "tags": ""}
    assert asked["/api/permissions/gpu%20nodes/node.1"] == {"configure": "^$", "write": "^$", "read": "^x$"}
    assert asked["/api/user-limits/node.1/max-connections"] == {"value": 64}
    assert asked["/api/queues/gpu%20nodes/render.1"] == {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    management.calls.clear()
    grant(rabbit)
    assert "/api/vhosts/gpu%20nodes" not in management.paths, "what is there once is not made each time"


@pytest.mark.parametrize("status", [400, 404])
def test_a_virtual_host_that_is_gone_is_made_again(rabbit: RabbitMQ, management: Management, status: int) -> None:
    grant(rabbit)
    management.calls.clear()
    management.refusals["/api/permissions/gpu%20nodes/node.1"] = status
    grant(rabbit)
    assert "/api/vhosts/gpu%20nodes" in management.paths and management.paths[-1].endswith("compute.1")


def test_a_refusal_names_no_password(rabbit: RabbitMQ, management: Management) -> None:
    management.refusals["/api/users"] = 500
    with pytest.raises(Unavailable) as refused:
        grant(rabbit)
    assert refused.value.code == "BROKER_AWAY" and "500" in refused.value.message
    assert "s3cret" not in refused.value.message and "pw" not in refused.value.message


def test_nobody_there_is_away() -> None:
    with pytest.raises(Unavailable):
        grant(RabbitMQ("http://hub:pw@127.0.0.1:1", BROKER, "", "nodes", 64))


@pytest.mark.parametrize("chunk", [b"x" * 100_000, b" "], ids=["large", "slow"])
def test_an_answer_without_end_is_given_up(chunk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "CALL_SECONDS", 0.3)
    is_over = threading.Event()

    class Endless(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not is_over.wait(0.05):
                    self.wfile.write(chunk)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        with pytest.raises(Unavailable):
            grant(RabbitMQ(f"http://hub:pw@127.0.0.1:{server.server_port}", BROKER, "", "nodes", 64))
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()


def test_the_address_for_hosts() -> None:
    assert RabbitMQ(API, BROKER, "", "nodes", 1).url("node.1", "p") == "amqp://node.1:p@rabbit:5672/nodes"
    public = RabbitMQ(API, BROKER, "amqps://broker.example:5671", "gpu nodes", 1)
    assert public.url("node.1", "p/@") == "amqps://node.1:p%2F%40@broker.example:5671/gpu%20nodes"


@pytest.mark.parametrize("api, broker, public", [
    ("rabbit:15672", BROKER, ""), ("http://rabbit:15672", BROKER, ""), ("http://hub:pw@rabbit:port", BROKER, ""),
    (API, "redis://rabbit", ""), (API, "", ""), (API, BROKER, "https://broker.example"), (API, BROKER, "amqp://me:pw@broker.example"),
])
def test_addresses_that_cannot_be_are_named_at_boot(api: str, broker: str, public: str) -> None:
    with pytest.raises(ConfigError):
        check_addresses(api, broker, public)
    settings = Settings(rabbitmq_api_url=api, broker_url=broker, rabbitmq_public_url=public)
    assert list(malformed(settings)) == ["RABBITMQ_API_URL"]


def test_the_hosts_virtual_host_is_beside_the_hubs() -> None:
    settings = Settings(broker_url=BROKER, rabbitmq_api_url=API, rabbitmq_nodes_vhost="gpu nodes")
    assert settings.doorbell_broker == "amqp://hub:pw@rabbit:5672/gpu%20nodes"
    assert Settings(broker_url=BROKER).doorbell_broker == BROKER
