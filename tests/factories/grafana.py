"""The committed dashboards, read and asked as Grafana does it. No Grafana is here: how it fills variables in and chooses steps is
told again below, from its documentation and its Prometheus data source."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "monitoring" / "grafana" / "dashboards"
POINTS = 1000  # what a panel asks for at most: its width in pixels
STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)
LABEL_VALUES = re.compile(r"label_values\((.+), *([a-z_]+)\)")
SPECIAL = re.compile(r"[\\$^*{}\[\]'+?.()|]")
VARIABLE = re.compile(r"\$\{?([a-z_]+)(?::[a-z]+)?\}?")


@dataclass(frozen=True)
class Query:
    """One target of one panel."""

    board: str
    panel: str
    expression: str
    is_instant: bool
    legend: str = ""

    @property
    def named_by(self) -> set[str]:
        """Labels that its legend shows."""
        return set(re.findall(r"{{(\w+)}}", self.legend))

    @property
    def variables(self) -> set[str]:
        return {name for name in VARIABLE.findall(self.expression) if not name.startswith("__")}

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expression}"


@dataclass(frozen=True)
class Variable:
    """A variable of a dashboard that lists the values of `label` among `series`."""

    board: str
    name: str
    label: str
    series: str


def boards() -> dict[str, dict[str, Any]]:
    """Every committed dashboard, by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A dashboard's panels without its rows' headlines."""
    yield from (panel for panel in board["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """What all panels of all dashboards ask."""
    return [
        Query(name, panel["title"], target["expr"], target.get("instant", False), target.get("legendFormat", ""))
        for name, board in boards().items() for panel in panels(board) for target in panel.get("targets", ())
    ]


def variables() -> list[Variable]:
    """What can be chosen, the data source apart."""
    found = []
    for name, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] != "datasource":
                asked = LABEL_VALUES.fullmatch(variable["query"]["query"])
                assert asked, f"{name}: {variable['name']} asks {variable['query']}"
                found.append(Variable(name, variable["name"], asked[2], asked[1]))
    return found


def step_seconds(range_seconds: float, scrape_seconds: float) -> float:
    """`$__interval`: the range over the panel's width, rounded, and never below the data source's scrape interval."""
    wanted = range_seconds / POINTS
    return max(scrape_seconds, next((step for step in STEPS if step >= wanted), STEPS[-1]))


def fill(expression: str, chosen: Mapping[str, str | None], range_seconds: int, scrape_seconds: int) -> str:
    """The query that is sent; `chosen` has a value for each variable, None for All."""
    step = step_seconds(range_seconds, scrape_seconds)
    built_in = {
        "__interval": f"{step:g}s", "__rate_interval": f"{max(step + scrape_seconds, 4 * scrape_seconds):g}s",
        "__range": f"{range_seconds}s", "__range_s": str(range_seconds),
    }

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in built_in:
            return built_in[name]
        picked = chosen[name]
        return ".*" if picked is None else SPECIAL.sub(lambda special: rf"\\{special[0]}", picked)

    return VARIABLE.sub(value, expression)
