"""The alerts on RenderTrust's families, by Prometheus' own tool: each fires when it should, and stays quiet when it should."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories.missing import go_without

ROOT = Path(__file__).parent.parent.parent
RULES, CASES = ROOT / "monitoring" / "prometheus" / "alerts.yml", Path(__file__).parent / "alerts.yml"
ALERTS = ("FleetTooFewNodes", "HighErrorRate", "HighJobFailureRate", "APILatencyHigh", "NoWebSocketConnections",
          "WorkerPollsAreOverdue", "WorkerDown", "WorkerGpuHot", "WorkerGpuIdle", "WorkerErrorRateHigh")


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        reason = "the alerts are checked by promtool, of Debian's package prometheus"
        go_without(reason)
    return found


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)


@pytest.mark.system
def test_the_rules_are_sound(promtool: str) -> None:
    found = run(promtool, "check", "rules", RULES)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.system
def test_alerts_fire_when_they_should_and_not_otherwise(promtool: str) -> None:
    found = run(promtool, "test", "rules", CASES)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.system
@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("expression", ["vector(1)", "vector(1) < 0"], ids=["always", "never"])
def test_an_alert_that_fires_always_or_never_would_be_seen(promtool: str, tmp_path: Path, alert: str, expression: str) -> None:
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    [changed] = [rule for rule in rules["groups"][0]["rules"] if rule["alert"] == alert]
    changed["expr"] = expression
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / "cases.yml").write_text(yaml.safe_dump({**yaml.safe_load(CASES.read_text()), "rule_files": ["rules.yml"]}))
    found = run(promtool, "test", "rules", tmp_path / "cases.yml")
    assert found.returncode == 1 and alert in found.stdout + found.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_cases_of_both_kinds_and_says_what_to_do(alert: str) -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert} == {True, False}
    [rule] = [rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"] if rule["alert"] == alert]
    assert rule["labels"]["severity"] in ("page", "warn", "info") and rule["annotations"]["summary"] and rule["for"]
