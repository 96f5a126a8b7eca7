"""The dashboards as files: made from their sources and by nothing else, complete; each leads to the others and to the runbook.

What they ask is run against a real Prometheus by tests/system/test_dashboards.py.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.source import dashboards, panels, runbooks
from monitoring.grafana.source.limits import NEUTRAL
from tests.factories import grafana, metrics_table

ROOT = Path(__file__).parent.parent.parent
MONITORING = ROOT / "monitoring"
BOARDS = grafana.boards()
NAMES = {"overview", "queues", "nodes", "money", "api", "chain", "relay", "platform", "runbook"}
WIDTH = 24
TARGET = {"job", "instance"}
WORDS = {"or", "and", "unless", "group_left", "by", "on"}
# As docs/metrics.md writes units: what Grafana calls them
UNIT_OF = {"s": "s", "bytes": "bytes", "°C": "celsius", "W": "watt", "%": "percent"}


class Family(NamedTuple):
    labels: set[str]
    unit: str


# Not in docs/metrics.md: what exporters tell and no alert asks for, and Prometheus' own
OF_EXPORTERS = {
    "node_cpu_seconds_total": Family({"cpu", "mode"}, ""),
    "redis_commands_processed_total": Family(set(), ""), "redis_connected_clients": Family(set(), ""),
    "rabbitmq_process_resident_memory_bytes": Family(set(), ""), "rabbitmq_resident_memory_limit_bytes": Family(set(), ""),
    "rabbitmq_queue_messages_ready": Family(set(), ""), "rabbitmq_queue_messages_unacked": Family(set(), ""),
    "rabbitmq_connections": Family(set(), ""), "rabbitmq_consumers": Family(set(), ""),
    "rabbitmq_disk_space_available_bytes": Family(set(), "bytes"), "ALERTS": Family({"alertname", "alertstate", "severity"}, ""),
}
UNITS = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}") for name, board in BOARDS.items() for panel in grafana.panels(board)
]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_the_files_are_what_their_sources_say() -> None:
    told = "run `make dashboards`; nobody edits the files by hand"
    assert {path.name: path.read_text() for path in dashboards.FOLDER.iterdir()} == dashboards.texts(), told
    assert BOARDS.keys() == NAMES


def test_writing_them_again_takes_away_what_is_of_none(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    dashboards.write(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == NAMES
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dashboards.texts()


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_can_be_found_and_leads_to_the_others(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"lightyard-{name}" and board["title"].startswith("Lightyard: ") and board["description"]
    assert board["tags"] == ["lightyard"] and board["time"] == {"from": "now-6h", "to": "now"} and board["refresh"] == "30s"
    [link] = board["links"]
    assert (link["type"], link["tags"], link["keepTime"]) == ("dashboards", ["lightyard"], True)
    assert board["editable"] is False
    [source] = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert source["name"] == "datasource"


def test_no_two_dashboards_share_a_name() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(name: str) -> None:
    found = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found) and len(found) > 1
    boxes = [(panel["gridPos"], panel["title"]) for panel in found]
    for box, title in boxes:
        assert box["x"] >= 0 and box["w"] > 0 and box["h"] > 0 and box["x"] + box["w"] <= WIDTH, title
    for (one, title), (other, others) in combinations(boxes, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], f"{title} on {others}"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_means(panel: dict[str, Any]) -> None:
    assert panel["title"] and len(panel["description"]) > 5
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None and all(step["color"] for step in steps)
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(values)
    if panel["type"] == "text":
        assert panel["options"]["content"]
        return
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"] and len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert all(target["expr"] and target["refId"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert all(target["legendFormat"] for target in panel["targets"]) and all(target["range"] for target in panel["targets"])
    else:
        assert all(target["instant"] for target in panel["targets"])


def asked_for(expression: str) -> list[tuple[str, str]]:
    """(family, selector) of each series that a query reads."""
    bare = re.sub(r"label_replace\((?:0 \* max\(lightyard_build_info\)|vector\(0\)),[^)]*\)", " ", expression)
    bare = re.sub(r"\b(?:by|on|group_left) ?\([^)]*\)", " ", bare)
    found = re.findall(r"(?<![$\w\"])([a-zA-Z][\w:]*)\b(?! *\()({[^}]*})?", re.sub(r"\[[^]]*\]", "", bare))
    return [(name, selector) for name, selector in found if name not in WORDS]


def told_families() -> dict[str, Family]:
    """What docs/metrics.md says (another test holds it against a running hub), the recording rules, and exporters' families."""
    table = metrics_table.told_by_the_hub() | metrics_table.told_elsewhere()
    units_of = dict(re.findall(r"^\| `(\w+)` \| \w+ \| [a-z_, ]*\| ([^|]*) \|", metrics_table.PAGE.read_text(), re.MULTILINE))
    found = {name: Family(set(family.labels), units_of[name]) for name, family in table.items()}
    for name in [name for name, family in table.items() if family.kind == "histogram"]:
        found[f"{name}_bucket"] = Family({*found[name].labels, "le"}, found[name].unit)
        found[f"{name}_count"] = Family(found[name].labels, "")
    found |= dict.fromkeys(metrics_table.recorded(), Family(set(), ""))
    return found | OF_EXPORTERS


def test_families_and_labels_are_those_that_are_told() -> None:
    """Also where the 0 of `or_zero` would answer for a family that does not exist."""
    told = told_families()
    assert len(told) > 100
    for query in grafana.queries():
        asked = asked_for(query.expression)
        assert asked and {name for name, _ in asked} <= told.keys(), f"{query}: {asked} is not all in docs/metrics.md"
        for name, selector in asked:
            chosen = set(re.findall(r"(\w+) *(?:=|!)", selector))
            assert chosen <= told[name].labels | TARGET, f"{query}: {name} has no such label"
        kept = {label for by in re.findall(r"\bby \(([^)]*)\)", query.expression) for label in by.split(", ")}
        assert kept <= TARGET.union(*(told[name].labels for name, _ in asked)), f"{query}: no such label"


def test_units_are_those_of_the_families() -> None:
    told = told_families()
    seen = set()
    for name, board in BOARDS.items():
        for panel in grafana.panels(board):
            for target in panel.get("targets", ()):
                expression = target["expr"]
                is_rate = "rate(" in expression and "histogram_quantile" not in expression
                if is_rate or " / " in expression or expression.startswith("count"):
                    continue  # of another unit than its families
                wanted = {UNIT_OF[told[family].unit] for family, _ in asked_for(expression) if told[family].unit in UNIT_OF}
                wanted = {"s"} if expression.startswith("time()") else wanted
                seen |= wanted
                assert wanted <= {panel["fieldConfig"]["defaults"]["unit"]}, f"{name}: {panel['title']}"
    assert seen == set(UNIT_OF.values())


def test_queries_read_each_family_as_its_kind_wants_it() -> None:
    for query in grafana.queries():
        for name in re.findall(r"\b(?:lightyard|http|jobs|cocoon)_\w+_(?:total|bucket|count)\b", query.expression):
            read = re.search(rf"(?:rate|increase)\({name}(?:{{[^}}]*}})?\[", query.expression)
            assert read or name == "fleet_nodes_total", f"{query}: {name} is a counter"
        if "histogram_quantile" in query.expression:
            assert re.search(r"by \((?:instance, )?le\b", query.expression), f"{query}: buckets are summed"


@pytest.mark.parametrize("name", BOARDS)
def test_each_variable_is_used_and_each_that_is_used_is_there(name: str) -> None:
    there = {variable.name for variable in grafana.variables() if variable.board == name}
    used = {variable for query in grafana.queries() if query.board == name for variable in query.variables}
    assert there == used


def test_every_alert_is_watched_by_a_panel_that_leads_to_its_runbook() -> None:
    alerts = {rule["alert"] for rule in rules()}
    assert alerts <= runbooks.numbers().keys()
    found = (panel.get("links", ()) for board in BOARDS.values() for panel in grafana.panels(board))
    linked = {link["url"]: link["title"] for links in found for link in links if link["title"].startswith("Runbook: ")}
    assert {title.removeprefix("Runbook: ") for title in linked.values()} == alerts
    titles = {panel["id"]: panel["title"] for panel in BOARDS["runbook"]["panels"]}
    for url, title in linked.items():
        number = re.fullmatch(r"/d/lightyard-runbook\?viewPanel=(\d+)", url)
        assert number and f"Runbook: {titles[int(number[1])]}" == title


def test_each_panel_of_the_overview_leads_to_a_dashboard_that_says_more() -> None:
    uids = {board["uid"] for board in BOARDS.values()}
    for panel in grafana.panels(BOARDS["overview"]):
        address, _, when = panel["links"][0]["url"].partition("?")
        assert address.removeprefix("/d/") in uids and when == "${__url_time_range}", panel["title"]


def test_an_alert_without_a_runbook_is_refused() -> None:
    with pytest.raises(KeyError):
        panels.figure("a", "up", "b", unit="short", limits=NEUTRAL, alerts=("NoSuchAlert",))


@pytest.mark.parametrize("name", BOARDS)
def test_grafana_s_own_types_read_each_file_and_lose_nothing(name: str) -> None:
    plugins.register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(BOARDS[name]), cls=JSONEncoder))
    assert again == BOARDS[name]


def test_what_grafana_is_provisioned_with_fits() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    scraped = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert (source["uid"], source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", "prometheus", scraped)
    [provider] = yaml.safe_load((provisioning / "dashboards" / "lightyard.yml").read_text())["providers"]
    assert provider["folder"] and provider["folderUid"] and provider["allowUiUpdates"] is False
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert any(str(mount).startswith(f"./monitoring/grafana/dashboards:{provider['options']['path']}") for mount in mounts)
