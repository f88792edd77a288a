"""report.html: all figures and pictures of an evaluation in one file that needs no other."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib import resources

import jinja2
from PIL import Image

from facesketch import images
from facesketch.evaluation.results import GROUPS, METRICS, Column, Group, Metric, Results
from facesketch.evaluation.sheet import Sheet, thumbnail
from facesketch.evaluation.statistics import Value

TEMPLATE = "report.html"


@dataclass(frozen=True)
class Cell:
    """A figure as text, and where it lies on the row's scale, percent."""

    text: str
    interval: str
    hint: str
    spread: str
    low: float
    value: float
    high: float
    is_best: bool


@dataclass(frozen=True)
class Row:
    """One metric of all columns; None where it was not measured."""

    metric: Metric
    cells: list[Cell | None]


@dataclass(frozen=True)
class ToneTable:
    """One set of generators: a row a skin tone, a column a metric."""

    title: str
    metrics: list[Metric]
    rows: list[tuple[str, list[Cell | None]]]


@dataclass(frozen=True)
class Table:
    """A group of metrics, and the columns that have any of them."""

    title: str
    columns: list[Column]
    rows: list[Row]


def render(results: Results, sheets: list[Sheet]) -> str:
    """Write the report.

    Args:
        results: The figures.
        sheets: The pictures; they are embedded.
    """
    source = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["data_uri"] = _data_uri
    tables = [_table(results, group) for group in GROUPS]
    measured = {row.metric for table in tables for row in table.rows}
    return environment.from_string(source).render(
        results=results,
        tables=tables,
        tone_tables=[_tone_table(column) for column in results.columns if column.skin_tones],
        metrics=[metric for metric in METRICS.values() if metric in measured],
        weights=[column for column in results.columns if column.kind == "weights"],
        sheets=sheets,
    )


def _table(results: Results, group: Group) -> Table:
    columns = [column for column in results.columns if column.values.get(group)]
    rows = []
    for name, metric in METRICS.items():
        values = [column.values[group].get(name) for column in columns]
        if any(values):
            # a latency's interval knows nothing of what else the machine did for the other sets
            best = None if name == "latency" else _best(columns, values, metric)
            rows.append(Row(metric, _cells(values, metric, best)))
    return Table(GROUPS[group], columns, rows)


def _tone_table(column: Column) -> ToneTable:
    tones = column.skin_tones
    names = [name for name in METRICS if any(name in values for values in tones.values())]
    by_metric = [_cells([v.get(n) for v in tones.values()], METRICS[n], None) for n in names]
    rows = zip(tones, map(list, zip(*by_metric, strict=True)), strict=True)
    return ToneTable(column.name, [METRICS[name] for name in names], list(rows))


def _best(columns: list[Column], values: list[Value | None], metric: Metric) -> Value | None:
    """Name the best of several sets of weights, if its interval is clear of all the others'."""
    rivals = [
        value
        for column, value in zip(columns, values, strict=True)
        if value is not None and column.kind == "weights"
    ]
    if len(rivals) < 2 or metric.better == "like real":
        return None
    choose = min if metric.better == "lower" else max
    best = choose(rivals, key=lambda value: value.value)
    low, high = best.interval
    others = [value for value in rivals if value is not best]
    is_clear = all(high < other.interval[0] or other.interval[1] < low for other in others)
    return best if is_clear else None


def _cells(values: list[Value | None], metric: Metric, best: Value | None) -> list[Cell | None]:
    shown = [value for value in values if value is not None]
    low = min(0.0, *(value.interval[0] for value in shown))
    high = max(value.interval[1] for value in shown)
    span = high - low or 1.0
    factor = 100 if metric.unit == "%" else 1

    def place(number: float) -> float:
        return round(100 * (number - low) / span, 1)

    def text(number: float) -> str:
        return f"{factor * number:.{metric.decimals}f}".replace("-", "\N{MINUS SIGN}")

    return [
        None
        if value is None
        else Cell(
            text=text(value.value),
            interval=f"{text(value.interval[0])} to {text(value.interval[1])}",
            hint=f"n = {value.n:,}, {value.method}",
            spread="" if value.spread is None else f"{text(value.spread)} over subsets",
            low=place(value.interval[0]),
            value=place(value.value),
            high=place(value.interval[1]),
            is_best=value is best,
        )
        for value in values
    ]


def _data_uri(picture: Image.Image) -> str:
    encoded = base64.b64encode(images.encode(thumbnail(picture), "WEBP", quality=82))
    return f"data:image/webp;base64,{encoded.decode()}"
