"""One RabbitMQ and one whole stack on it for this folder."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import running_stack
from tests.factories import rabbitmq
from tests.factories.missing import go_without
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.strangers import Stranger

CONNECTIONS = 3


@pytest.fixture(scope="package")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    reason = rabbitmq.missing()
    if reason:
        go_without(reason)
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="package")
def endpoints(rabbit: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    settings = {"NODES": "0", "BROKER_URL": rabbit.url, "RABBITMQ_API_URL": rabbit.api_url,
                "RABBITMQ_PUBLIC_URL": rabbit.public_url, "RABBITMQ_USER_CONNECTIONS": str(CONNECTIONS)}
    with running_stack(tmp_path_factory.mktemp("stack"), **settings) as found:
        yield {**found, "broker_certificate": str(rabbit.certificate)}


@pytest.fixture(scope="package")
def stranger(endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """A provider with a host that has enrolled, and does not run yet."""
    made = Stranger(endpoints, tmp_path_factory.mktemp("stranger"))
    made.enrol()
    return made
