"""Prometheus' own tests of rules, made of cases and run by its own tool."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.factories.missing import go_without

FOLDER = Path(__file__).parent.parent.parent / "monitoring" / "prometheus"
TIME = re.compile(r"(\d+)([mh])")


class Case(NamedTuple):
    """`alarm`: the labels with which the alert fires then; None: it is quiet. `value`: how its summary writes the figure."""

    series: Mapping[str, str]
    at: str
    alarm: Mapping[str, str] | None
    value: str = ""


def fires(series: Mapping[str, str], at: str, value: str = "", **labels: str) -> Case:
    return Case(series, at, labels, value)


def quiet(series: Mapping[str, str], at: str) -> Case:
    return Case(series, at, None)


def rules(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """The rules of a file by their name; `kind` is alert or record."""
    groups = yaml.safe_load((FOLDER / name).read_text())["groups"]
    found = [rule for group in groups for rule in group["rules"] if kind in rule]
    assert len({rule[kind] for rule in found}) == len(found), "a name is given twice"
    return {rule[kind]: rule for rule in found}


def minutes(time: str) -> int:
    """Of Prometheus' notation, as far as it is used here."""
    parts = TIME.findall(time)
    assert parts and "".join(map("".join, parts)) == time, time
    return sum(int(number) * (60 if unit == "h" else 1) for number, unit in parts)


def by_themselves(rule: Mapping[str, Any], cases: list[Case], is_of_each: bool, is_of_nothing: bool) -> list[Case]:
    """The cases that every alert has: it has not lasted yet, two addresses tell alike, and nobody tells anything."""
    firing = [case for case in cases if case.alarm is not None]
    early = f"{max(0, minutes(rule['for']) - 1)}m"
    made = [quiet(case.series, early) for case in firing]
    if not is_of_each:
        made += [case._replace(series=_twice(case.series)) for case in firing]
    return made if is_of_nothing else [*made, quiet({}, "100m")]


def _twice(series: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, values in series.items():
        for instance in "ab":
            start = name[:-1] + "," if name.endswith("}") else name + "{"
            found[f'{start}instance="{instance}"}}'] = values
    return found


def alert_test(name: str, rule: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """One of promtool's tests."""
    expected = []
    if case.alarm is not None:
        labels = case.alarm

        def fill(text: str) -> str:
            text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
            return re.sub(r"{{ \$value[^}]*}}", case.value, text)

        told = {key: fill(text) for key, text in rule["annotations"].items()}
        expected = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": told}]
    step = "10m" if minutes(case.at) > 600 else "1m"
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": expected}],
        "of": name,
        "step": step,
    }


def record_test(name: str, series: Mapping[str, str], at: str, samples: Mapping[str, float]) -> dict[str, Any]:
    """One of promtool's tests: of the rule's series, and of no others under its name, to the millionth."""
    expected = [{"labels": labels, "value": round(value * 1_000_000)} for labels, value in samples.items()]
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": f"round({name} * 1000000)", "eval_time": at, "exp_samples": expected}],
        "of": name,
        "step": "10m" if minutes(at) > 600 else "1m",
    }


def run(folder: Path, tests: list[dict[str, Any]], broken: Mapping[str, str] | None = None) -> str:
    """What promtool says against these tests; nothing if they hold. `broken`: other expressions of some rules, by their names.

    Each rule is tried with those alone that it is made of: promtool evaluates all that it is given, at every minute of a test.
    """
    tool = shutil.which("promtool")
    if tool is None:
        go_without("rules are tried by promtool, of Debian's package prometheus")
    known = {**rules("rules.yml", "record"), **rules("alerts.yml", "alert")}
    named = []
    for name, step in sorted({(test["of"], test["step"]) for test in tests}):
        chosen = [test for test in tests if (test["of"], test["step"]) == (name, step)]
        told = [{key: part for key, part in test.items() if key not in ("of", "step")} for test in chosen]
        rule = {**known[name], **({"expr": broken[name]} if broken and name in broken else {})}
        parts = [*_made_of(known, known[name]["expr"]), rule]
        stem = f"{name.replace(':', '_')}_{step}"
        (folder / f"{stem}_rules.yml").write_text(json.dumps({"groups": [{"name": "tried", "rules": parts}]}))  # JSON is YAML
        cases = {"rule_files": [f"{stem}_rules.yml"], "evaluation_interval": step, "tests": told}
        (folder / f"{stem}.yml").write_text(json.dumps(cases))
        named.append(str(folder / f"{stem}.yml"))
    done = subprocess.run([str(tool), "test", "rules", *named], capture_output=True, text=True, timeout=170)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "FAILED" in said, said
    return "" if done.returncode == 0 else said


def _made_of(known: Mapping[str, dict[str, Any]], expression: str) -> list[dict[str, Any]]:
    """The recording rules that an expression reads, those that they read first."""
    found: list[dict[str, Any]] = []
    for name, rule in known.items():
        if "record" in rule and re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", expression):
            found += [part for part in [*_made_of(known, rule["expr"]), rule] if part not in found]
    return found
