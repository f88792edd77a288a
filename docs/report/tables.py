"""Tables from measurements and from the code: for the paper, and between markers in the docs.

A marker is `<!-- table: NAME -->`, its end `<!-- end -->`; what stands between them is rewritten by
`make report`, and a test fails where it is stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import facts
from facesketch.evaluation.results import GROUPS, METRICS, Column, Group, Results
from facesketch.evaluation.statistics import Value
from record import ROOT, Record

MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PUBLISHED = Path(__file__).with_name("published.json")

ABLATION: tuple[tuple[str, Group, str], ...] = (
    ("KID, sketches ↓", "photo2sketch", "kid_mobilenetv2"),
    ("KID, photos ↓", "sketch2photo", "kid_mobilenetv2"),
    ("person, sketch ↑", "photo2sketch", "rank1"),
    ("person, round trip ↑", "cycle_photo", "rank1_degraded"),
    ("cycle error ↓", "cycle_photo", "cycle_error_degraded"),
    ("colour shift ↓", "sketch2photo", "colour_shift"),
    ("checkerboard, dB", "sketch2photo", "checkerboard"),
)
"""What is compared where one thing is changed at a time."""

DESIGNS: tuple[tuple[str, Group, str], ...] = (
    *ABLATION[:-2],
    ("ms ↓", "photo2sketch", "latency"),
)
"""What is compared where the generator is of another design, which may be slower too."""

REFERENCE = "reference"
"""Name of the folder of weights that the shipped ones are compared with."""

NOTHING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        columns: Headings.
        rows: Cells, Markdown with nothing but `code` in it.
        align: One letter a column, l or r.
        source: The command that measured it, commit and machine; empty for what the code says.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    source: str = ""

    def markdown(self) -> str:
        """Write it for README and docs."""
        rules = tuple({"l": "---", "r": "---:"}[side] for side in self.align)
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, rules, *self.rows)]
        return "\n".join(lines + ([f"\n{self.source}"] if self.source else [])) + "\n"


def networks(_: Records) -> Table:
    """Parameters and MACs of the networks."""
    rows = tuple(
        (each["name"], f"{each['parameters']:,}", f"{each['macs'] / 1e9:.1f}")
        for each in facts.networks()
    )
    return Table(("network", "parameters", f"GMACs at {facts.SIDE} px"), rows, "lrr")


def settings(_: Records) -> Table:
    """Settings of both presets."""
    rows = tuple(
        (f"`{each['name']}`", each["help"], each["compact"], each["paper"])
        for each in facts.settings()
    )
    return Table(("setting", "what it is", "`compact`", "`paper`"), rows, "llrr")


def all_settings(_: Records) -> Table:
    """Every setting of training."""
    rows = tuple(
        (f"`{each['name']}`", each["help"], each["value"]) for each in facts.all_settings()
    )
    return Table(("setting", "what it is", "default"), rows, "llr")


def stages(_: Records) -> Table:
    """The stages of training behind the shipped weights."""
    rows = tuple(
        (
            f"`{each['name']}.toml`",
            f"{each['size']} px",
            f"{each['batch']}",
            f"{each['steps']:,}",
            f"{each['images']:,}",
            "constant" if each["decay_start"] == 1 else f"falls after {each['decay_start']:.0%}",
        )
        for each in facts.recipe_stages()
    )
    columns = ("settings", "size", "batch", "steps", "images a domain", "learning rate")
    return Table(columns, rows, "lrrrrl")


def recipe(_: Records) -> Table:
    """What the stages behind the shipped weights set, beside the preset."""
    rows = tuple(
        (f"`{each['name']}`", *(each[name] for name in ("preset", *facts.recipe())))
        for each in facts.recipe_settings()
    )
    columns = ("setting", "`compact`", *(f"`{name}`" for name in facts.recipe()))
    return Table(columns, rows, "l" + "r" * (len(columns) - 1))


def weights(_: Records) -> Table:
    """Files of the shipped generators."""
    rows = tuple(
        (f"`generators/{each['file']}`", f"{each['mb']:.1f} MB")
        for each in facts.gather()["weights"]
    )
    return Table(("generator", "size"), rows, "lr")


def data(records: Records) -> Table:
    """Pictures by split and domain, as `facesketch data check` counted them."""
    counts = count_images(records["data"])
    rows = tuple(
        (split, *(f"{domains[domain]:,}" for domain in ("photo", "sketch")))
        for split, domains in counts.items()
    )
    return Table(("split", "photos", "sketches"), rows, "lrr", _source(records["data"]))


def count_images(record: Record) -> dict[str, dict[str, int]]:
    """Usable pictures by split, then by domain."""
    counts: dict[str, dict[str, int]] = {}
    for folder in record.result["folders"]:
        counts.setdefault(folder["split"], {})[folder["domain"]] = folder["num_usable"]
    return counts


def published(_: Records) -> Table:
    """What others report."""
    rows = json.loads(PUBLISHED.read_text(encoding="utf-8"))["rows"]
    names = ("method", "training", "task", "figure", "source")
    cells = tuple(tuple(row[name] for name in names) for row in rows)
    return Table(("method", "learns from", "task", "published figure", "where"), cells, "lllll")


def quality(records: Records) -> Table:
    """Every figure of the evaluation, the pencil filter and real pictures beside."""
    results = Results.model_validate(records["evaluation"].result)
    rows = tuple(
        (title, _label(name), *(_cell(column, group, name) for column in results.columns))
        for group, title in GROUPS.items()
        for name in METRICS
        if name != "latency"  # measured beside all else, where quality is what counts
        if any(_value(column, group, name) for column in results.columns)
    )
    columns = ("direction", "measure", *(column.name for column in results.columns))
    source = _source(records["evaluation"])
    if column := reference_of(results):
        source += f" {column.name}: {about(column)}."
    return Table(columns, rows, "ll" + "r" * len(results.columns), source)


def shipped(results: Results) -> Column:
    """The shipped weights; where they are not among them, the first."""
    weights = [column for column in results.columns if column.kind == "weights"]
    return next((column for column in weights if column.weights == "shipped"), weights[0])


def reference_of(results: Results) -> Column | None:
    """The weights in a folder of the name `reference`, where they were measured too."""
    found = (column for column in results.columns if column.name.split(",")[0] == REFERENCE)
    return next(found, None)


def about(column: Column) -> str:
    """Say what a set of weights is, as its files have it, but for the style."""
    told = (re.sub(r"^style \w+, ", "", text) for text in column.about.values())
    return "; ".join(dict.fromkeys(told))


def comparison(name: str, compared: tuple[tuple[str, Group, str], ...]) -> Callable[..., Table]:
    """Table with a row a set of weights, and what each was trained for."""

    def build(records: Records) -> Table:
        results = Results.model_validate(records[name].result)
        measured = [
            (label, group, metric)
            for label, group, metric in compared
            if any(_value(column, group, metric) for column in results.columns)
        ]
        rows = tuple(
            (
                column.name,
                _steps(column),
                *(_cell(column, group, metric) for _, group, metric in measured),
            )
            for column in results.columns
        )
        columns = ("weights", "steps", *(label for label, _, _ in measured))
        return Table(columns, rows, "l" + "r" * (len(columns) - 1), _source(records[name]))

    return build


def _steps(column: Column) -> str:
    """Read the steps of training from what the files say of themselves; a dash for no weights."""
    found = re.search(r"\bstep ([\d,]*\d)", about(column))
    return found[1] if found else NOTHING


def groups(records: Records) -> Table:
    """What was found for the shipped weights by skin tone; no rows if it was not looked for."""
    tones = shipped(Results.model_validate(records["evaluation"].result)).skin_tones
    names = [name for name in METRICS if any(name in values for values in tones.values())]
    rows = tuple(
        (
            tone,
            f"{max((value.n for value in values.values()), default=0):,}",
            *(_shown(name, values.get(name)) for name in names),
        )
        for tone, values in tones.items()
    )
    columns = ("skin tone", "photos", *(_label(name) for name in names))
    return Table(columns, rows, "lr" + "r" * len(names), _source(records["evaluation"]))


def latency(records: Records) -> Table:
    """Milliseconds by engine, and how many times faster than the first, the reference."""
    cases = records["latency"].result["cases"]
    engines = tuple(dict.fromkeys(engine for case in cases for engine in case["ms"]))
    rows = tuple(
        (
            *(f"{case[name]}" for name in ("threads", "size", "batch")),
            *(_time(case["ms"], engine, engines[0]) for engine in engines),
        )
        for case in cases
    )
    columns = ("threads", "px", "batch", *(f"{engine}, ms" for engine in engines))
    return Table(columns, rows, "r" * len(columns), _source(records["latency"]))


def _time(times: Mapping[str, float], engine: str, reference: str) -> str:
    """Write milliseconds and the ratio to the reference; a dash for what was not measured."""
    if engine not in times:
        return NOTHING
    if engine == reference or reference not in times:
        return f"{times[engine]:.1f}"
    return f"{times[engine]:.1f} ({times[reference] / times[engine]:.1f}x)"


def plain(name: str) -> Callable[[Records], Table]:
    """Table of a record whose result has `rows`, each a row's cells by heading."""

    def build(records: Records) -> Table:
        rows = records[name].result["rows"]
        columns = tuple(rows[0])
        numeric = [all(isinstance(row[c], int | float) for row in rows) for c in columns]
        cells = tuple(tuple(_plain_cell(row[column]) for column in columns) for row in rows)
        align = "".join("r" if number else "l" for number in numeric)
        return Table(columns, cells, align, _source(records[name]))

    return build


TABLES: dict[str, Callable[[Records], Table]] = {
    "networks": networks,
    "settings": settings,
    "all_settings": all_settings,
    "stages": stages,
    "recipe": recipe,
    "weights": weights,
    "data": data,
    "published": published,
    "quality": quality,
    "ablation": comparison("ablation", ABLATION),
    "designs": comparison("designs", DESIGNS),
    "groups": groups,
    "latency": latency,
}
NEEDS = {
    "data": "data",
    "quality": "evaluation",
    "ablation": "ablation",
    "designs": "designs",
    "latency": "latency",
    "training": "training",
    "groups": "evaluation",
}
"""Tables that are there only when something was measured, and the record they are made of."""

NOT_MEASURED = "Not measured yet.\n"
ABSENT = {"ablation": "What each of them does alone has not been measured yet.\n"}
"""What stands in the place of a table that is not there, if not `NOT_MEASURED`."""


def build_tables(records: Records) -> dict[str, Table]:
    """Make every table that the records allow; a record with `rows` is one by its own name."""
    builders = {n: build for n, build in TABLES.items() if NEEDS.get(n) in (None, *records)}
    builders |= {name: plain(name) for name, record in records.items() if "rows" in record.result}
    tables = {name: build(records) for name, build in builders.items()}
    return {name: table for name, table in tables.items() if table.rows}


def rewrite(text: str, tables: Mapping[str, Table], path: str) -> str:
    """Put the tables between the markers of a Markdown text, or say that nothing was measured.

    Raises:
        KeyError: If a marker names a table that there is not.
    """

    def replace(found: re.Match[str]) -> str:
        if found[2] in tables:
            return f"{found[1]}{tables[found[2]].markdown()}{found[3]}"
        if found[2] in NEEDS:
            return f"{found[1]}{ABSENT.get(found[2], NOT_MEASURED)}{found[3]}"
        raise KeyError(f"{path} wants the table {found[2]}; there are {', '.join(tables)}")

    return MARKED.sub(replace, text)


def marked_files() -> Iterator[Path]:
    """Find every Markdown file of the project that has a marker."""
    folders = (ROOT / "docs", ROOT / "src", ROOT / "recipes")
    for path in (*ROOT.glob("*.md"), *(p for f in folders for p in sorted(f.rglob("*.md")))):
        if MARKED.search(path.read_text(encoding="utf-8")):
            yield path


def for_typst(tables: Mapping[str, Table]) -> dict[str, Any]:
    """Return the tables as JSON has them."""
    return {name: asdict(table) for name, table in tables.items()}


def figure(column: Column | None, group: Group, name: str) -> str:
    """Write one figure without its interval, for running text; a dash where there is none."""
    value = _value(column, group, name) if column else None
    return _number(name, value.value) if value else NOTHING


def _value(column: Column, group: Group, name: str) -> Value | None:
    return column.values.get(group, {}).get(name)


def _cell(column: Column, group: Group, name: str) -> str:
    return _shown(name, _value(column, group, name))


def _shown(name: str, value: Value | None) -> str:
    if value is None:
        return NOTHING
    low, high = (_number(name, end) for end in value.interval)
    return f"{_number(name, value.value)} ({low} to {high})"


def _number(name: str, value: float) -> str:
    metric = METRICS[name]
    scaled = 100 * value if metric.unit == "%" else value
    decimals = 3 if name.startswith("kid") else metric.decimals
    text = f"{round(scaled, decimals) + 0.0:.{decimals}f}"  # adding 0 makes -0.000 a plain zero
    return text.replace("-", MINUS) + ("%" if metric.unit == "%" else "")


def _label(name: str) -> str:
    metric = METRICS[name]
    unit = "" if metric.unit in ("", "%") else f", {metric.unit}"
    arrow = {"lower": " ↓", "higher": " ↑", "like real": ""}[metric.better]
    return f"{metric.label}{unit}{arrow}"


def _plain_cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _source(record: Record) -> str:
    told = f"`{record.command}`, commit {record.commit}, {record.date:%Y-%m-%d}, {record.machine}"
    return told + ("; 95% intervals in brackets." if "columns" in record.result else ".")
