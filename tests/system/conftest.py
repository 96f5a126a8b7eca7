"""Servers out of Debian packages, each started once."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import cube
from tests.factories import rabbitmq
from tests.factories.missing import go_without
from tests.factories.rabbitmq import RabbitMQ

__all__ = ["cube"]


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    reason = rabbitmq.missing()
    if reason:
        go_without(reason)
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        server.stop()
