"""docs/metrics.md as its readers take it, and an exposition as Prometheus takes it."""

import re
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
ROW = re.compile(r"^\| `([A-Za-z_]+)` \| (counter|gauge|histogram) \| ([a-z_, ]*) ?\| .+ \| .+ \|$", re.MULTILINE)
ELSEWHERE = "\n## Not told by"


class Family(NamedTuple):
    kind: str
    labels: frozenset[str]


def families(text: str) -> dict[str, Family]:
    found = ROW.findall(text)
    assert len({name for name, _, _ in found}) == len(found), "a family is told twice"
    return {name: Family(kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in found}


def told_by_the_hub() -> dict[str, Family]:
    return families(PAGE.read_text().partition(ELSEWHERE)[0])


def told_elsewhere() -> dict[str, Family]:
    return families(PAGE.read_text().partition(ELSEWHERE)[2])


def recorded() -> set[str]:
    """The recording rules' names."""
    return set(re.findall(r"`([a-z]+:\w+:\w+)`", PAGE.read_text().partition("\n## Recording rules")[2]))


def exposed(text: str) -> dict[str, Family]:
    """Families as an exposition tells them: counters with their ending, labels as its samples have them."""
    found = {}
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels}
        assert len({frozenset(sample.labels) - {"le"} for sample in family.samples}) <= 1, f"{family.name}: labels differ"
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name not in found, f"{name} is told twice"
        found[name] = Family(family.type, frozenset(labels - ({"le"} if family.type == "histogram" else set())))
    return found
