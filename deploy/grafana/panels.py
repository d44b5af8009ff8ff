"""Panels as these dashboards use them: a title, a description that says what to do, a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardLinkType,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from .queries import STATES

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8

Steps = Sequence[tuple[float | None, str]]
NEUTRAL: Steps = ((None, "blue"),)
ZERO_IS_GOOD: Steps = ((None, "green"), (1, "red"))
ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))

_STATE_COLORS = (
    "green", "light-blue", "purple", "yellow", "orange", "dark-blue", "dark-red", "red",
)  # fmt: skip
STATE_NAMES = ValueMap(
    {
        str(number): ValueMappingResult(text=state.replace("_", " "), color=color, index=number)
        for number, (state, color) in enumerate(zip(STATES, _STATE_COLORS, strict=True))
    }
)


@dataclass(frozen=True)
class Query:
    """One PromQL expression; `legend` names its series, or its column in a table."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Line:
    """How the series of one name look, where they are limits and not measurements."""

    name: str
    color: str
    dashed: bool = True
    fill_to: str | None = None

    def properties(self) -> list[DynamicConfigValue]:
        found = [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": self.color})]
        if self.dashed:
            found.append(DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
        if self.fill_to:
            found.append(DynamicConfigValue("custom.fillBelowTo", self.fill_to))
            found.append(DynamicConfigValue("custom.fillOpacity", 12))
        return found


def number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    steps: Steps = NEUTRAL,
    names: ValueMap | None = None,
    empty: str = "none",
    runbooks: Sequence[str] = (),
    legend: str = "",
    width: int = 4,
) -> stat.Panel:
    """The value of now, coloured. `empty` is shown where the query finds nothing."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .links(runbook_links(runbooks))
        .unit(unit)
        .no_value(empty)
        .thresholds(_thresholds(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .span(width)
        .height(4)
        .with_target(target(Query(expr, legend), 0).instant())
    )
    if names:
        panel.mappings([names])
    if legend:
        panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
    return panel


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps | None = None,
    lines: Sequence[Line] = (),
    runbooks: Sequence[str] = (),
    width: int = 12,
    bars: bool = False,
    log: bool = False,
    least: float | None = 0,
    most: float | None = None,
) -> timeseries.Panel:
    """Lines over time. `steps` are drawn as dashed limits."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .links(runbook_links(runbooks))
        .unit(unit)
        .line_width(1)
        .fill_opacity(60 if bars else 0)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .span(width)
        .height(HEIGHT)
        .targets([target(query, place).range() for place, query in enumerate(queries)])
    )
    if steps:
        panel.thresholds(_thresholds(steps))
        panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    if log:
        panel.scale_distribution(
            common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10)
        )
    elif least is not None:
        panel.axis_soft_min(least)
    if most is not None:
        panel.axis_soft_max(most)
    for line in lines:
        panel.override_by_name(line.name, line.properties())
    return panel


def states(
    title: str, description: str, query: Query, runbooks: Sequence[str]
) -> statetimeline.Panel:
    """One coloured bar over time for each feature or eval."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .links(runbook_links(runbooks))
        .mappings([STATE_NAMES])
        .show_value(VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .legend(_legend(LegendDisplayMode.LIST))
        .span(24)
        .height(10)
        .with_target(target(query, 0).range())
    )


def runbook_links(alerts: Sequence[str]) -> list[Builder[DashboardLink]]:
    """Links in the panel's corner to the runbooks of these alerts."""
    return [
        dashboard.DashboardLink(f"Runbook {alert}")
        .type(DashboardLinkType.LINK)
        .url(f"${{runbooks}}/{alert}.md")
        .target_blank(True)
        for alert in alerts
    ]


def target(query: Query, place: int) -> prometheus.Dataquery:
    """The query as the panel's `place`th."""
    built = prometheus.Dataquery().expr(query.expr).ref_id(letter(place)).datasource(DATASOURCE)
    return built.legend_format(query.legend) if query.legend else built


def letter(place: int) -> str:
    """Grafana's name of a panel's `place`th query."""
    return chr(ord("A") + place)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def _legend(mode: LegendDisplayMode = LegendDisplayMode.TABLE) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    if mode == LegendDisplayMode.TABLE:
        legend.calcs(["lastNotNull", "max"]).sort_by("Last *").sort_desc(True)
    return legend.display_mode(mode)
