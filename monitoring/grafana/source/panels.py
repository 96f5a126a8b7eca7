"""The three kinds of panel that the dashboards are made of: a figure, lines over time, a table.

Each has a unit, thresholds and a text that says what it means. `alerts` names those that watch the same thing, whose runbooks are
linked, `more` the dashboard that says more.
"""

from collections.abc import Mapping
from typing import TypeVar

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    FieldTextAlignment,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardLink as Link
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, DataTransformerConfig, FieldColorModeId
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.grafana.source import runbooks
from monitoring.grafana.source.datasource import CHOSEN
from monitoring.grafana.source.limits import NEUTRAL, Steps, thresholds

Panel = stat.Panel | timeseries.Panel | table.Panel
Kind = TypeVar("Kind", stat.Panel, timeseries.Panel, table.Panel)
FIGURE_HEIGHT, CHART_HEIGHT = 4, 8
LETTERS = "ABCDEFGH"


def figure(
    title: str,
    expression: str | Mapping[str, str],
    about: str,
    *,
    unit: str,
    limits: Steps,
    width: int = 3,
    alerts: tuple[str, ...] = (),
    more: str = "",
    absent: str = "no data",
    decimals: int | None = None,
) -> stat.Panel:
    """One number as it is now, or several by their names, coloured by its limits; `absent` stands where there is none."""
    queries = {"": expression} if isinstance(expression, str) else expression
    panel = (
        stat.Panel()
        .height(FIGURE_HEIGHT)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.AUTO)
        .no_value(absent)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    )
    for letter, (legend, query) in zip(LETTERS, queries.items(), strict=False):
        panel.with_target(Dataquery().ref_id(letter).expr(query).instant().legend_format(legend or title))
    if decimals is not None:
        panel.decimals(decimals)
    return _dressed(panel, title, about, unit, limits, width, _links(alerts, more))


def lines(
    title: str,
    queries: Mapping[str, str],
    about: str,
    *,
    unit: str,
    limits: Steps = NEUTRAL,
    width: int = 8,
    alerts: tuple[str, ...] = (),
    more: str = "",
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Figures over time; `queries` by their legends. Limits are drawn as dashed lines."""
    style = GraphThresholdsStyleMode.OFF if limits == NEUTRAL else GraphThresholdsStyleMode.DASHED
    panel = (
        timeseries.Panel()
        .height(CHART_HEIGHT)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
        .legend(
            common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    for letter, (legend, expression) in zip(LETTERS, queries.items(), strict=False):
        panel.with_target(Dataquery().ref_id(letter).expr(expression).range().legend_format(legend))
    return _dressed(panel, title, about, unit, limits, width, _links(alerts, more))


def listing(
    title: str,
    expression: str,
    about: str,
    *,
    unit: str,
    limits: Steps = NEUTRAL,
    width: int = 8,
    value: str = "Value",
    alerts: tuple[str, ...] = (),
    more: str = "",
    absent: str = "none",
) -> table.Panel:
    """One row for each series as it is now, its labels as columns; `value` is the last column's name."""
    layout = {"excludeByName": {"Time": True, "__name__": True}, "renameByName": {"Value": value}, "indexByName": {}}
    panel = (
        table.Panel()
        .height(CHART_HEIGHT)
        .no_value(absent)
        .show_header(True)
        .align(FieldTextAlignment.AUTO)
        .inspect(False)
        .with_target(Dataquery().ref_id("A").expr(expression).instant().format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig(id_val="organize", options=layout))
    )
    return _dressed(panel, title, about, unit, limits, width, _links(alerts, more))


def _dressed(panel: Kind, title: str, about: str, unit: str, limits: Steps, width: int, links: list[Builder[Link]]) -> Kind:
    """What every panel has."""
    panel.title(title).description(about).datasource(CHOSEN).unit(unit).thresholds(thresholds(limits)).span(width)
    return panel.links(links)


def _links(alerts: tuple[str, ...], more: str) -> list[Builder[Link]]:
    """To the dashboard that says more, at the same time, and to the alerts' runbooks."""
    details = DashboardLink(f"More: {more}").type(DashboardLinkType.LINK).url(f"/d/lightyard-{more}?${{__url_time_range}}")
    return [*([details] if more else []), *(runbooks.link(alert) for alert in alerts)]
