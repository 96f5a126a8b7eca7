"""/metrics of a whole hub: what its API, worker, beat and poller have counted, whichever process is asked, and whoever dies."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.watched import SWEEPS
from tests.factories import metrics_table
from tests.factories.stacks import RunningStack, fresh_home, wait_until

Figures = dict[tuple[str, ...], float]
SWEPT_SECONDS = 90


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with fresh_home() as home:
        found = RunningStack(home).wait_ready()
        yield found
        assert found.end() == 0


def text(stack: RunningStack) -> str:
    answer = httpx.get(stack.endpoints["metrics_url"], timeout=30)
    assert answer.status_code == 200
    return answer.text


def scrape(stack: RunningStack) -> Figures:
    samples = [sample for family in text_string_to_metric_families(text(stack)) for sample in family.samples]
    found = {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is told twice"
    return found


def test_every_process_is_heard_of_and_every_family_is_in_the_table(stack: RunningStack) -> None:
    wanted = {("lightyard_sweep_age_seconds", sweep) for sweep in SWEEPS}
    wait_until(lambda: wanted <= scrape(stack).keys(), "the figures of all sweeps", SWEPT_SECONDS)
    found, table, exposed = scrape(stack), metrics_table.told_by_the_hub(), metrics_table.exposed(text(stack))
    processes = {key[1]: value for key, value in found.items() if key[0] == "lightyard_processes"}
    assert processes.pop("api") >= 2 and processes == {"worker": 1, "beat": 1, "poller": 1}
    for role in ("api", "worker", "poller"):
        assert found["lightyard_database_work_seconds_count", role] > 0 and found["lightyard_database_pool_limit", role] > 0
    for task in ("hub.sweep", "hub.keep_books", "hub.watch_queues"):
        assert found["lightyard_task_seconds_count", task] >= 1 and found["lightyard_task_failures_total", task] == 0
    assert found["lightyard_chain_up", "solana"] == 1 and found["lightyard_signer_up",] == 1
    assert found["lightyard_hot_wallet_balance", "SOL", "solana"] > 0 and found["lightyard_queue_depth", "render"] == 0
    assert exposed.keys() <= table.keys(), "docs/metrics.md lacks what is told"
    assert {name: family.kind for name, family in exposed.items()} == {name: table[name].kind for name in exposed}
    of_traffic = {"lightyard_http_request_exceptions_total", "lightyard_relay_messages_total", "lightyard_relay_closes_total"}
    assert table.keys() - exposed.keys() <= of_traffic, "what the table promises is not told"


def children(stack: RunningStack) -> set[int]:
    [master] = stack.processes["api"]
    return {child.pid for child in psutil.Process(master).children()}


def kill_and_wait(stack: RunningStack, folder: Path, pid: int) -> None:
    before = children(stack)
    psutil.Process(pid).kill()
    wait_until(lambda: not (folder / f"counter_{pid}.db").exists(), "its files to be added up")
    wait_until(lambda: bool(children(stack) - before), "another in its place")


def test_an_api_process_that_is_killed_leaves_what_it_counted_and_no_files(stack: RunningStack) -> None:
    folder = Path(stack.home) / "metrics"
    for _ in range(20):
        httpx.get(f"http://127.0.0.1:{stack.port}/stats")
    before = scrape(stack)
    for pid in children(stack):
        kill_and_wait(stack, folder, pid)
    wait_until(stack.is_healthy, "the API")
    after = scrape(stack)
    for name in (("http_requests_total", "/stats", "GET", "200"), ("lightyard_database_work_seconds_count", "api")):
        assert after[name] >= before[name] >= 20
    kept = {file.name.rpartition("_")[2].removesuffix(".db") for file in folder.glob("counter_*.db")}
    assert kept <= {"0", *map(str, children(stack))} and "0" in kept
