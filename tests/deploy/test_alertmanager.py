"""Who hears of an alert: Alertmanager's own tool reads the routes, and every name in them is an alert's."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories.missing import go_without

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"
CONFIG: dict[str, Any] = yaml.safe_load(FILE.read_text())
RULES = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]


@pytest.fixture(scope="module")
def amtool() -> str:
    found = shutil.which("amtool")
    if found is None:
        go_without("the routes are read by amtool, of Debian's package prometheus-alertmanager: make system-packages")
    return found


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)


@pytest.mark.system
def test_its_own_tool_accepts_it(amtool: str, tmp_path: Path) -> None:
    assert run(amtool, "check-config", FILE).returncode == 0
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILE.read_text().replace("receiver: page", "receiver: nobody"))
    assert run(amtool, "check-config", wrong).returncode != 0


@pytest.mark.system
@pytest.mark.parametrize(("severity", "receiver"), [("page", "page"), ("warn", "warn"), ("info", "info"), ("none", "warn")])
def test_each_severity_has_its_receiver_and_no_alert_gets_lost(amtool: str, severity: str, receiver: str) -> None:
    found = run(amtool, "config", "routes", "test", f"--config.file={FILE}", f"severity={severity}", "alertname=WorkWaits")
    assert found.stdout.strip() == receiver, found.stderr


def test_receivers_know_their_addresses_from_files_alone_and_nobody_is_told_twice_in_half_an_hour() -> None:
    assert [receiver["name"] for receiver in CONFIG["receivers"]] == ["page", "warn", "info"]
    for receiver in CONFIG["receivers"]:
        [chat] = receiver["slack_configs"]
        assert chat["api_url_file"] == f"/run/secrets/alerts_{receiver['name']}_url" and "api_url" not in chat
    assert CONFIG["route"]["repeat_interval"] == "30m"
    assert "http" not in FILE.read_text(), "addresses are secrets"


def test_what_keeps_quiet_beside_what_are_alerts_that_there_are() -> None:
    known = {alert["alert"] for alert in ALERTS}
    named = re.findall(r'alertname=~?"([\w|]+)"', FILE.read_text())
    assert named and {name for group in named for name in group.split("|")} <= known
    assert {alert["labels"]["severity"] for alert in ALERTS} <= {"page", "warn", "info"}
