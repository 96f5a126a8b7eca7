"""What a measurement found, and how bench/RESULTS.md tells it."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "RESULTS.md"
PACKAGES = ("flask", "gunicorn", "gevent", "celery", "sqlalchemy", "psycopg", "redis", "pynacl", "solders")
PASS, SHORT = "PASS", "FALLS SHORT"


@dataclass(frozen=True)
class Series:
    """One figure over the rounds; `digits` after the point."""

    name: str
    unit: str
    values: tuple[float, ...]
    digits: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"

    def row(self) -> str:
        spread = f"{self.number(min(self.values))} – {self.number(max(self.values))}" if len(self.values) > 1 else ""
        return f"| {self.name} | {self.number(self.median)} {self.unit} | {spread} | {len(self.values)} |"


@dataclass(frozen=True)
class Verdict:
    """A ratio held against its target. `sign` is ≤ or ≥."""

    name: str
    value: float
    sign: str
    target: float

    @property
    def word(self) -> str:
        held = self.value <= self.target if self.sign == "≤" else self.value >= self.target
        return PASS if held else SHORT

    def row(self) -> str:
        return f"| {self.name} | {self.value:.3f} | {self.sign} {self.target:g} | {self.word} |"


@dataclass
class Part:
    """One lettered measurement."""

    letter: str
    title: str
    how: str
    series: list[Series] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    def text(self) -> str:
        lines = [f"## ({self.letter}) {self.title}", "", self.how, ""]
        if self.error:
            lines += [f"**Not measured:** {self.error}", ""]
        if self.series:
            lines += ["| figure | median | spread | rounds |", "|---|---|---|---|", *(item.row() for item in self.series), ""]
        if self.verdicts:
            lines += ["| ratio | value | target | |", "|---|---|---|---|", *(item.row() for item in self.verdicts), ""]
        lines += [*(f"- {note}" for note in self.notes), *([""] if self.notes else []), f"Took {self.seconds:.0f} s.", ""]
        return "\n".join(lines)


def ratio_of_medians(above: Series, below: Series) -> float:
    return above.median / below.median


def conditions(is_quick: bool, rounds: int) -> list[str]:
    """Where and when the figures were taken."""
    load = ", ".join(f"{item:.2f}" for item in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}, {rounds} rounds",
        f"- {_processor()}, {len(os.sched_getaffinity(0))} cores, load average at the start {load}",
        f"- Python {platform.python_version()}, {platform.platform()}",
        f"- {packages}",
    ]
    if is_quick:
        lines.append("- **quick form: a few small rounds that show that the bench works; its figures are noise**")
    return lines


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        paths = ["app", "gpu_node", "workers", "devnet", "migrations", "bench/*.py"]
        changed = subprocess.run(["git", "status", "--porcelain", "--", *paths], cwd=ROOT, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return found.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def write(parts: Sequence[Part], head: Sequence[str], path: Path = RESULTS) -> None:
    """The whole file anew, never half-written; called after every part, so that a later failure loses nothing."""
    verdicts = [f"| ({part.letter}) {item.row()[1:]}" for part in parts for item in part.verdicts]
    failed = [f"| ({part.letter}) {part.title} | | | **not measured** |" for part in parts if part.error]
    text = [
        "# Results",
        "",
        "Written by `make bench` (`python -m bench`); do not edit. Sides of a comparison take turns, A B A B, in one run;",
        "figures are medians over the rounds, beside their spread.",
        "",
        *head,
        "",
        "| ratio | value | target | |",
        "|---|---|---|---|",
        *verdicts,
        *failed,
        "",
        *(part.text() for part in parts),
    ]
    half = path.with_suffix(".part")
    half.write_text("\n".join(text).rstrip() + "\n")
    half.replace(path)
