"""What is watched: every name in alerts and dashboards is one that the hub tells."""

import json
import re
from pathlib import Path

import pytest
import yaml

from app.core import figures
from app.observability import metrics, worker_exposition

ROOT = Path(__file__).parent.parent.parent
EXPORTED = {"lightyard_http_request_total", "lightyard_http_request_duration_seconds_bucket", "active_websocket_connections"}
EXPORTED |= {"http_requests_total", "http_request_duration_seconds_bucket", *metrics.FLEET}
EXPORTED |= set(worker_exposition.FAMILIES)
EXPORTED |= {f"{name}_total" for name in metrics.TOTALS}
LABELS = {"url_rule", "status", "le", "method", "endpoint", "job_type", "worker_id", "worker_name", "participant_id", "gpu_id"}


def expressions() -> list[str]:
    rules = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "alerts.yml").read_text())
    dashboard = json.loads((ROOT / "monitoring" / "grafana" / "dashboards" / "overview.json").read_text())
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return found + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_watched_is_exported(expression: str) -> None:
    known = EXPORTED | {metrics.PREFIX + name for name in metrics.NAMES}
    names = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?! *\()", re.sub(r"\bby \([^)]*\)|{[^}]*}", "", expression))
    assert names and set(names) <= known
    labels = {label for group in re.findall(r"by \(([a-z_, ]+)\)", expression) for label in group.split(", ")}
    assert labels <= LABELS | {label for _, labels in figures.QUERIES.values() for label in labels}
