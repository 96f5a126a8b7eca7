"""What alerts, recording rules and dashboards ask for is told: by the names and the labels of docs/metrics.md."""

import re
from collections.abc import Iterator

import pytest

from tests.deploy import promtool
from tests.factories import metrics_table
from tests.factories.metrics_table import Family

ALERTS, RECORDS = promtool.rules("alerts.yml", "alert"), promtool.rules("rules.yml", "record")
TABLE = metrics_table.told_by_the_hub() | metrics_table.told_elsewhere()
OF_PROMETHEUS = {"instance", "job"}
SELECTOR = re.compile(r"(?<![\w:\"])([a-z_][a-zA-Z0-9_:]*)\s*(\{[^}]*\}|(?=[\[\s)]|$))")
WORDS = {"by", "on", "and", "or", "unless", "sum", "max", "min", "avg", "absent", "time", "vector"}
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def asked(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each series that an expression selects, with the labels that it selects by."""
    for name, selector in SELECTOR.findall(GROUPED.sub(" ", expression)):
        if name not in WORDS:
            yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))


def told(name: str) -> Family | None:
    """The family that a series is of; a histogram's has three kinds of series, with `le` in one."""
    if ":" in name:
        return Family("gauge", frozenset()) if name in RECORDS else None
    base, _, part = name.rpartition("_")
    if part in ("bucket", "sum", "count") and base in TABLE and TABLE[base].kind == "histogram":
        return Family("histogram", TABLE[base].labels | ({"le"} if part == "bucket" else set()))
    found = TABLE.get(name)
    return None if found is None or found.kind == "histogram" else found


@pytest.mark.parametrize(("name", "expression"), [
    (name, rule["expr"]) for name, rule in {**ALERTS, **RECORDS}.items()
])
def test_what_a_rule_asks_for_is_told(name: str, expression: str) -> None:
    found = list(asked(expression))
    labels = set(OF_PROMETHEUS)
    assert found, f"{name} asks for nothing"
    for series, selected in found:
        family = told(series)
        assert family is not None, f"{name}: docs/metrics.md has no {series}"
        assert selected <= family.labels | OF_PROMETHEUS, f"{name}: {series} has no {selected - family.labels}"
        labels |= family.labels | (_labels_of(series) if ":" in series else set())
    grouped = {label for group in GROUPED.findall(expression) for label in re.findall(r"\w+", group)}
    assert grouped <= labels, f"{name} groups by {grouped - labels}"


def _labels_of(record: str) -> set[str]:
    return {record.partition(":")[0]} - {"job"}


def test_a_series_that_nobody_tells_would_be_seen() -> None:
    nobodys = ("lightyard_nodes_total", "lightyard_task_seconds", "lightyard_nodes_bucket", "a:b:c")
    assert [told(name) for name in nobodys] == [None] * 4
    assert told("lightyard_task_seconds_bucket") == Family("histogram", frozenset({"task", "le"}))
    assert list(asked('sum by (a) (rate(x_total{b="c{d"}[5m])) / on (a) y:z:w > 3')) == [("x_total", {"b"}), ("y:z:w", set())]


def test_the_table_names_the_recording_rules_that_there_are() -> None:
    assert metrics_table.recorded() == RECORDS.keys()
