"""A dashboard as a value: rows of panels, laid out from left to right, with what all dashboards have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, DashboardLinkType

from monitoring.grafana.source import variables
from monitoring.grafana.source.datasource import CHOSEN
from monitoring.grafana.source.panels import Panel

TAG = "lightyard"
REFRESHES = ["10s", "30s", "1m", "5m", "15m", "1h"]
FIRING = 'ALERTS{alertstate="firing", severity=~"page|warn"}'


@dataclass(frozen=True, slots=True)
class Row:
    """A headline, and what stands below it."""

    title: str
    panels: Sequence[Panel | text.Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `name` is its file's and the end of its uid."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    chosen: Sequence[builders.QueryVariable] = ()
    since: str = "now-6h"

    @property
    def uid(self) -> str:
        """By which links and bookmarks find it: never changed."""
        return f"{TAG}-{self.name}"


def build(board: Board) -> Dashboard:
    """Grafana's own form of it; panels are numbered in their order."""
    made = (
        builders.Dashboard(f"Lightyard: {board.title}")
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .timezone("browser")
        .time(board.since, "now")
        .refresh("30s")
        .timepicker(builders.TimePicker().refresh_intervals(REFRESHES))
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .annotation(_alerts())
        .variables([variables.datasource(), *board.chosen])
    )
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(panel.id(number))
    return made.build()


def _others() -> builders.DashboardLink:
    """Every dashboard of ours side by side, at the time that is being looked at."""
    link = builders.DashboardLink("Lightyard").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(False).keep_time(True).include_vars(True).tooltip("The other dashboards")


def _alerts() -> builders.AnnotationQuery:
    """A mark on every chart where an alert began to fire."""
    query = builders.AnnotationQuery().name("Alerts").datasource(CHOSEN).enable(True).icon_color("red")
    return query.expr(FIRING)
