"""docs/alerts-runbook.md inside Grafana: a panel of text for each alert, so that a link works wherever Grafana runs."""

import re
from functools import cache
from pathlib import Path

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType
from grafana_foundation_sdk.models.text import TextMode

from monitoring.grafana.source.limits import NEUTRAL, thresholds

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "alerts-runbook.md"
NAME = "runbook"
GROUP, ALERT = re.compile(r"^## (.+)$", re.MULTILINE), re.compile(r"^### `?(\w+)`?$", re.MULTILINE)
LINK = re.compile(r"\[([^]]+)\]\(([^):]+)\)")  # to a page beside it, which is not in Grafana
HEIGHT, WIDTH = 9, 8


@cache
def groups() -> dict[str, dict[str, str]]:
    """Each alert's text by its name, by the page's headlines, in the page's order."""
    found = _parts(GROUP, PAGE.read_text(encoding="utf-8"))
    return {title: alerts for title, body in found.items() if (alerts := _parts(ALERT, body))}


def _parts(heading: re.Pattern[str], body: str) -> dict[str, str]:
    parts = heading.split(body)
    return {name: part.strip() for name, part in zip(parts[1::2], parts[2::2], strict=True)}


def numbers() -> dict[str, int]:
    """Each alert's panel by its number, as a dashboard numbers its rows and panels."""
    order = [name for title, alerts in groups().items() for name in (f"row {title}", *alerts)]
    return {name: number for number, name in enumerate(order, 1)}


def link(alert: str) -> DashboardLink:
    """To an alert's panel alone. KeyError where the page has no such alert, so that nothing is written."""
    made = DashboardLink(f"Runbook: {alert}").type(DashboardLinkType.LINK).tooltip("What this alert means, and what to do")
    return made.url(f"/d/lightyard-{NAME}?viewPanel={numbers()[alert]}").target_blank(True)


def panels(alerts: dict[str, str]) -> list[text.Panel]:
    """A headline's alerts, each with its text."""
    return [_panel(alert, body) for alert, body in alerts.items()]


def _panel(alert: str, body: str) -> text.Panel:
    content = LINK.sub(r"\1 (docs/\2)", body)
    panel = text.Panel().title(alert).mode(TextMode.MARKDOWN).content(content).height(HEIGHT).span(WIDTH)
    return panel.description(f"What to do when {alert} fires.").thresholds(thresholds(NEUTRAL))
