"""Every query of every dashboard, asked of a real Prometheus that scrapes a real hub with work in it. An empty answer is a panel
that would show nothing, and fails.

No Grafana is here: tests/factories/grafana.py fills variables in and chooses steps as Grafana does; the pictures were never seen.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import cube as cube
from tests.factories import grafana, prometheus
from tests.factories.busy_stack import busy_stack, go_on
from tests.factories.grafana import Query, Variable
from tests.factories.prometheus import Prometheus
from tests.factories.stacks import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
RANGE_SECONDS = 6 * 3600  # the dashboards' own
FIRST_SECONDS, LATER_SECONDS = 150, 30
# (dashboard, panel): why nothing of it can be here. One that does answer has to go.
NOT_HERE = {
    ("platform", "Last whole backup"): "the backup service writes it for the node exporter; `lightyard up` makes no backups",
}

# What Prometheus knows by itself, whoever is away
OF_PROMETHEUS = {
    ("overview", "Alerts firing"), ("overview", "Alerts"), ("api", "Addresses that answer"), ("platform", "Targets away"),
    ("platform", "Targets"),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, cube: bytes) -> Iterator[tuple[Prometheus, dict]]:
    """Prometheus over a hub that it knows by two addresses, as it knows two API processes."""
    folder = tmp_path_factory.mktemp("dashboards")
    folder.chmod(0o755)
    with ExitStack() as running:
        stack = running.enter_context(busy_stack(folder, cube))
        machine = running.enter_context(prometheus.exporter("prometheus-node-exporter"))
        redis = running.enter_context(prometheus.exporter("prometheus-redis-exporter", f"--redis.addr={stack['redis_url']}"))
        teller = running.enter_context(prometheus.alertmanager(folder / "alertmanager"))
        broker = running.enter_context(prometheus.rabbitmq(folder / "rabbitmq"))
        port = urlsplit(stack["api_url"]).port
        addresses = {"lightyard": [f"127.0.0.1:{port}", f"localhost:{port}"], "node": [machine], "redis": [redis]}
        addresses |= {"alertmanager": [teller], "prometheus": [], "rabbitmq": [broker]}
        (folder / "prometheus").mkdir()
        config = prometheus.configuration(addresses, token_file(folder))
        found = running.enter_context(prometheus.running(folder / "prometheus", config))
        wait_until(lambda: bool(found.now("lightyard_payout_seconds_count")), "the first payouts are counted", FIRST_SECONDS)
        go_on(stack, cube)
        yield found, stack


def token_file(folder: Path) -> Path:
    """The hub here wants none."""
    path = folder / "token"
    path.write_text("none")
    return path


def is_answered(found: Prometheus, query: Query, chosen: dict[str, str | None]) -> bool:
    expression = grafana.fill(query.expression, chosen, RANGE_SECONDS, prometheus.SCRAPE_SECONDS)
    if query.is_instant:
        return bool(found.now(expression))
    step = grafana.step_seconds(RANGE_SECONDS, prometheus.SCRAPE_SECONDS)
    return bool(found.over_time(expression, RANGE_SECONDS, step))


def never_answered(found: Prometheus, queries: list[Query], seconds: float) -> list[Query]:
    """Which of them have no answer until the time is up, with All of every variable."""
    deadline, left = time.monotonic() + seconds, queries
    while left and time.monotonic() < deadline:
        left = [query for query in left if not is_answered(found, query, dict.fromkeys(query.variables))]
        time.sleep(1)  # the next scrapes; Prometheus tells nobody of them
    return left


def values(found: Prometheus, variable: Variable) -> list[str]:
    return found.label_values(variable.label, variable.series, RANGE_SECONDS)


def test_every_panel_has_an_answer(watched: tuple[Prometheus, dict]) -> None:
    found, _ = watched
    queries = grafana.queries()
    expected = [query for query in queries if (query.board, query.panel) not in NOT_HERE]
    assert not (left := never_answered(found, expected, FIRST_SECONDS)), "nothing to show:\n" + "\n".join(map(str, left))
    others = [query for query in queries if query not in expected]
    silent = {(query.board, query.panel) for query in never_answered(found, others, 1)}
    assert silent == NOT_HERE.keys(), "these do answer here: take them off the list"


def test_every_line_has_the_name_that_its_legend_promises(watched: tuple[Prometheus, dict]) -> None:
    found, _ = watched
    step = grafana.step_seconds(RANGE_SECONDS, prometheus.SCRAPE_SECONDS)
    for query in grafana.queries():
        if query.named_by:
            everything = dict.fromkeys(query.variables)
            expression = grafana.fill(query.expression, everything, RANGE_SECONDS, prometheus.SCRAPE_SECONDS)
            shown = [labels for labels in found.over_time(expression, RANGE_SECONDS, step) if "none" not in labels.values()]
            assert all(query.named_by <= labels.keys() for labels in shown), f"{query}: {query.legend} of {shown[:3]}"


def test_every_variable_has_values(watched: tuple[Prometheus, dict]) -> None:
    found, _ = watched

    def empty() -> list[Variable]:
        return [variable for variable in grafana.variables() if not values(found, variable)]

    wait_until(lambda: not empty(), f"values to choose from: {empty()}", LATER_SECONDS)


def test_what_is_chosen_is_shown(watched: tuple[Prometheus, dict]) -> None:
    """One value of a variable instead of all: for each value there is a panel that shows it, and for each panel a value."""
    found, _ = watched
    for variable in grafana.variables():
        asked = [query for query in grafana.queries() if query.board == variable.board and variable.name in query.variables]
        asked = [query for query in asked if (query.board, query.panel) not in NOT_HERE]

        def shown(value: str, asked: list[Query] = asked, name: str = variable.name) -> set[Query]:
            return {query for query in asked if is_answered(found, query, {**dict.fromkeys(query.variables), name: value})}

        answers = {value: shown(value) for value in values(found, variable)}
        assert all(answers.values()), f"{variable}: nothing is shown for {[value for value in answers if not answers[value]]}"
        never = set(asked).difference(*answers.values())
        assert not never, f"{variable}: no value of it shows\n" + "\n".join(map(str, never))
        blind = [str(query) for query in shown("nobody") if "lightyard_build_info" not in query.expression]
        assert not blind, f"{variable} is not looked at by {blind}"


def test_two_addresses_of_one_hub_count_its_nodes_and_jobs_once(watched: tuple[Prometheus, dict]) -> None:
    found, stack = watched
    [healthy] = [query for query in grafana.queries() if (query.board, query.panel) == ("overview", "Healthy nodes")]
    wait_until(lambda: [value for _, value in found.now(healthy.expression)] == [2.0], "two nodes", 60)
    assert len(found.now('up{job="lightyard"} == 1')) == 2
    jobs = [query.expression for query in grafana.queries() if "rate(jobs_" in query.expression]
    assert jobs and all("sum" not in text or "max by" in text for text in jobs)


def test_where_no_hub_answers_nothing_is_said_to_be_well(tmp_path: Path) -> None:
    """`or 0` is a hub's word: a Prometheus that reaches none shows no figure of the marketplace at all."""
    config = prometheus.configuration({"lightyard": ["127.0.0.1:1"]}, token_file(tmp_path))
    with prometheus.running(tmp_path, config) as found:
        wait_until(lambda: bool(found.now('up{job="lightyard"} == 0')), "the hub is known to be away", LATER_SECONDS)
        told = [query for query in grafana.queries() if is_answered(found, query, dict.fromkeys(query.variables))]
    assert {(query.board, query.panel) for query in told} == OF_PROMETHEUS


def test_marks_of_alerts_can_be_asked_for(watched: tuple[Prometheus, dict]) -> None:
    found, _ = watched
    expressions = {mark["expr"] for board in grafana.boards().values() for mark in board["annotations"]["list"]}
    assert len(expressions) == 1
    for expression in expressions:
        found.over_time(expression, RANGE_SECONDS, 60)  # fails where Prometheus does not understand it
