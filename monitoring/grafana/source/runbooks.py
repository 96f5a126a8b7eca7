"""docs/alerts-runbook.md inside Grafana: a panel of text for each alert, so that a link works wherever Grafana runs."""

import re
from pathlib import Path

from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType
from grafana_foundation_sdk.models.text import TextMode

from monitoring.grafana.source.limits import NEUTRAL, thresholds

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "alerts-runbook.md"
NAME = "runbook"
HEADING = re.compile(r"^#{2,4} `?([A-Z][A-Za-z]+)`?$", re.MULTILINE)
HEIGHT, WIDTH = 9, 8
FIRST = 2  # the number of the first alert's panel: the row above them is number 1


def sections() -> dict[str, str]:
    """Each alert's text, by its name, in the page's order."""
    parts = HEADING.split(PAGE.read_text(encoding="utf-8"))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def link(alert: str) -> DashboardLink:
    """To an alert's panel alone. ValueError: the page has no such heading, so nothing is written."""
    number = list(sections()).index(alert) + FIRST
    made = DashboardLink(f"Runbook: {alert}").type(DashboardLinkType.LINK).tooltip("What this alert means, and what to do")
    return made.url(f"/d/lightyard-{NAME}?viewPanel={number}").target_blank(True)


def panels() -> list[text.Panel]:
    """In the order of the page, which is that of their numbers."""
    return [_panel(alert, body) for alert, body in sections().items()]


def _panel(alert: str, body: str) -> text.Panel:
    panel = text.Panel().title(alert).mode(TextMode.MARKDOWN).content(body).height(HEIGHT).span(WIDTH)
    return panel.description(f"What to do when {alert} fires.").thresholds(thresholds(NEUTRAL))
