"""Every alert and every recording rule, by Prometheus' own tool: what fires when it should, and stays quiet when it should."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import alert_cases, promtool, rule_cases
from tests.deploy.promtool import Case

ROOT = Path(__file__).parent.parent.parent
ALERTS, RECORDS = promtool.rules("alerts.yml", "alert"), promtool.rules("rules.yml", "record")
RUNBOOK = (ROOT / "docs" / "alerts-runbook.md").read_text()
ENTRY = re.compile(r"^### (\w+)\n\n\*\*Means\*\* \((\w+)\): .+\n\n\*\*Look\*\*: .+\n\n\*\*Mend\*\*: .+$", re.MULTILINE)


def cases(alert: str) -> list[Case]:
    written = alert_cases.CASES[alert]
    is_of_each, is_of_nothing = alert in alert_cases.OF_EACH_ADDRESS, alert in alert_cases.FIRE_WITHOUT_SERIES
    return [*written, *promtool.by_themselves(ALERTS[alert], written, is_of_each, is_of_nothing)]


def alert_tests() -> list[dict[str, Any]]:
    return [promtool.alert_test(name, rule, case) for name, rule in ALERTS.items() for case in cases(name)]


def record_tests() -> list[dict[str, Any]]:
    told = [promtool.record_test(name, *case) for name, case in rule_cases.CASES.items()]
    return told + [promtool.record_test(name, {}, "10m", {}) for name in rule_cases.CASES]


def test_every_alert_and_every_rule_has_its_cases() -> None:
    assert alert_cases.CASES.keys() == ALERTS.keys() and rule_cases.CASES.keys() == RECORDS.keys()
    for name, written in alert_cases.CASES.items():
        assert {case.alarm is None for case in written} == {True, False}, f"{name} wants a case of each kind"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("page", "warn", "info") and promtool.minutes(rule["for"]) >= 1
    assert len(rule["annotations"]["summary"]) > 20
    assert rule["annotations"]["runbook_url"] == f"docs/alerts-runbook.md#{alert.lower()}"
    assert dict(ENTRY.findall(RUNBOOK))[alert] == rule["labels"]["severity"]


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone() -> None:
    assert re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE) == list(ALERTS), "one for each, in their order"
    linked = set(re.findall(r"\]\(([a-z-]+\.md)", RUNBOOK))
    assert linked and all((ROOT / "docs" / page).exists() for page in linked)


@pytest.mark.system
def test_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    said = promtool.run(tmp_path, alert_tests())
    assert said == "", said


@pytest.mark.system
def test_recording_rules_say_what_they_should(tmp_path: Path) -> None:
    said = promtool.run(tmp_path, record_tests())
    assert said == "", said


@pytest.mark.system
@pytest.mark.parametrize("expression", ["vector(1)", "vector(1) < 0"], ids=["always", "never"])
def test_an_alert_that_fires_always_or_never_would_be_seen(tmp_path: Path, expression: str) -> None:
    said = promtool.run(tmp_path, alert_tests(), dict.fromkeys(ALERTS, expression))
    assert set(re.findall(r"alertname: ?(\w+)", said)) == set(ALERTS)


@pytest.mark.system
def test_a_recording_rule_that_says_something_else_would_be_seen(tmp_path: Path) -> None:
    said = promtool.run(tmp_path, record_tests(), {name: f"({rule['expr']}) * 1.01" for name, rule in RECORDS.items()})
    assert {name for name in RECORDS if f"round({name} *" in said} == set(RECORDS)
