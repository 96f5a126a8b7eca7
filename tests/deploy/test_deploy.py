"""The dashboard: every name that it asks for is one that the hub tells."""

import json
import re
from pathlib import Path

import pytest

from tests.factories import metrics_table

ROOT = Path(__file__).parent.parent.parent


def expressions() -> list[str]:
    dashboard = json.loads((ROOT / "monitoring" / "grafana" / "dashboards" / "overview.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_watched_is_exported(expression: str) -> None:
    table = metrics_table.told_by_the_hub()
    known = table.keys() | {f"{name}_bucket" for name, family in table.items() if family.kind == "histogram"}
    names = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?! *\()", re.sub(r"\bby \([^)]*\)|{[^}]*}", "", expression))
    assert names and set(names) <= known
