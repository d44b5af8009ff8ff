"""Tables: what is so now, one row for each set of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .panels import DATASOURCE, HEIGHT, STATE_NAMES, Query, Steps, letter, runbook_links, target


def rows(
    title: str,
    description: str,
    queries: Sequence[Query],
    columns: Mapping[str, Sequence[DynamicConfigValue]],
    *,
    order_by: str,
    hide: Sequence[str] = (),
    runbooks: Sequence[str] = (),
    width: int = 24,
    height: int = HEIGHT,
) -> table.Panel:
    """What is so now, one row for each set of labels; several queries are joined by their labels.

    `columns` says how a column of this name looks, the greatest of `order_by` comes first.
    """
    value_names = {
        "Value" if len(queries) == 1 else f"Value #{letter(place)}": query.legend
        for place, query in enumerate(queries)
    }
    renamed = {"service_name": "service", "deployment_environment": "environment"} | value_names
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .links(runbook_links(runbooks))
        .filterable(True)
        .no_value("")
        .span(width)
        .height(height)
        .sort_by([common.TableSortByFieldState().display_name(order_by).desc(True)])
        .targets(
            [
                target(query, place).instant().format(PromQueryFormat.TABLE)
                for place, query in enumerate(queries)
            ]
        )
    )
    if len(queries) > 1:
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(("Time", *hide), True),
                "renameByName": renamed,
            },
        )
    )
    for name, properties in columns.items():
        panel.override_by_name(name, list(properties))
    return panel


def measured(unit: str, decimals: int) -> list[DynamicConfigValue]:
    """A column of numbers that are neither good nor bad by themselves."""
    return [DynamicConfigValue("unit", unit), DynamicConfigValue("decimals", decimals)]


def colored(steps: Steps, decimals: int = 0) -> list[DynamicConfigValue]:
    """A column of numbers whose background says how bad they are."""
    shown = {"mode": "absolute", "steps": [{"value": at, "color": color} for at, color in steps]}
    return [
        *measured("short", decimals),
        DynamicConfigValue("thresholds", shown),
        DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def named_states() -> list[DynamicConfigValue]:
    """A column of state numbers, shown as words on their colours."""
    return [
        DynamicConfigValue("mappings", [STATE_NAMES]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
    ]


def linked(title: str, url: str) -> list[DynamicConfigValue]:
    """A column whose cells lead to `url`."""
    return [DynamicConfigValue("links", [{"title": title, "url": url}])]
