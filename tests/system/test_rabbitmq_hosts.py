"""A stranger's GPU host over a real RabbitMQ: real work through a real node process, whatever happens to the broker."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import running_stack
from tests.e2e.test_dispatched_jobs import Renter
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.stacks import wait_until
from tests.factories.strangers import Stranger

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def endpoints(rabbit: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    settings = {"NODES": "0", "BROKER_URL": rabbit.url, "RABBITMQ_API_URL": rabbit.api_url}
    with running_stack(tmp_path_factory.mktemp("stack"), **settings) as found:
        yield found


@pytest.fixture(scope="module")
def stranger(endpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    made = Stranger(endpoints, tmp_path_factory.mktemp("stranger"))
    made.enrol()
    return made


@pytest.fixture(scope="module")
def host(stranger: Stranger, rabbit: RabbitMQ) -> Iterator["subprocess.Popen[bytes]"]:
    """Looks for work by itself once an hour: whatever it does in a test, a doorbell told it to."""
    process = stranger.start_host()
    wait_until(lambda: listens(rabbit, stranger), "the host listens")
    yield process
    process.terminate()
    assert process.wait(60) == 0, stranger.log[-3000:]


def listens(rabbit: RabbitMQ, stranger: Stranger) -> bool:
    answer = rabbit.http.get(f"/queues/nodes/{stranger.queue('compute')}")
    return answer.status_code == 200 and answer.json().get("consumers", 0) == 1


@pytest.fixture(scope="module")
def renter(endpoints: dict[str, str], host: object) -> Renter:
    return Renter(endpoints, "renter@example.com")


def echo(renter: Renter) -> None:
    assert renter.result(renter.dispatch("echo", "s3://theirs/key")) == b"s3://theirs/key"


def test_a_doorbell_over_rabbitmq_brings_a_stranger_work(renter: Renter, rabbit: RabbitMQ, stranger: Stranger) -> None:
    begun = time.monotonic()
    echo(renter)
    print("echo", time.monotonic() - begun)
    assert rabbit.queue(stranger.queue("compute"), "nodes")["type"] == "quorum"
