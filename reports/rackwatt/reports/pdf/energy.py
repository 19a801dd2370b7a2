# SPDX-License-Identifier: Apache-2.0
"""Boundary, balance, days and hours: drawings and charts of where the energy came from and went."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import floor
from typing import Final

from rackwatt.reports.pdf import stacks
from rackwatt.reports.pdf.blocks import (
    Align,
    Block,
    Boundary,
    Columns,
    Heading,
    HeatMap,
    Legend,
    Points,
    Port,
    Table,
    Text,
)
from rackwatt.reports.pdf.numbers import energy_unit, ticks
from rackwatt.reports.pdf.palette import SCALE, SINKS, SOURCES
from rackwatt.reports.pdf.summary import nothing
from rackwatt.reports.pdf.teller import Teller, known_sum

_OUTSIDE: Final = ("export", "campus")
_NAMES: Final = {"export": "grid_export_watt_hours", "campus": "campus_watt_hours"}
_BAND: Final = 1.0 / len(SCALE)


def boundary(tell: Teller) -> list[Block]:
    """What is counted, and by which meters."""
    words = tell.words
    return [
        Heading(words("titles.boundary"), words("leads.boundary"), new_page=True),
        Boundary(
            words("charts.boundary"),
            words("charts.boundary_alt"),
            words("charts.inside"),
            tuple(
                _port(tell, name, f"source_{name}_watt_hours", SOURCES) for name in _sources(tell)
            ),
            tuple(_port(tell, name, f"load_{name}_watt_hours", SINKS) for name in stacks.LOADS),
            tuple(
                _port(tell, name, _NAMES[name], SINKS)
                for name in _OUTSIDE
                if tell.has(_NAMES[name])
            ),
        ),
        _meters(tell),
    ]


def _sources(tell: Teller) -> list[str]:
    return [name for name in SOURCES if tell.has(f"source_{name}_watt_hours")]


def _port(tell: Teller, name: str, figure: str, colors: Mapping[str, str]) -> Port:
    value = tell.energy(tell.figure(figure), tell.figure("load_watt_hours"))
    return Port(tell.words.name("flows", name), value, colors[name])


def _meters(tell: Teller) -> Table:
    words = tell.words
    head = tuple(words(f"table.{key}") for key in
                 ("meter", "role", "position", "class", "due", "state", "energy"))  # fmt: skip
    rows = tuple(
        (
            tell.plain(one.id if one.count == 1 else f"{one.id} × {one.count}"),
            words.name("flows", one.role),
            words.name("positions", one.position or ""),
            tell.number(one.accuracy_class, 1),
            tell.day(one.calibration_due),
            words.name("states", "overdue" if one.overdue else one.state),
            tell.energy(one.energy_watt_hours, tell.figure("load_watt_hours")),
        )
        for one in tell.report.meters
    )
    align: tuple[Align, ...] = ("text", "text", "text", "number", "text", "text", "number")
    return Table(words("table.meters"), head, rows, align, (2.3, 1.8, 1.1, 0.6, 1.0, 1.0, 1.0))


def balance(tell: Teller) -> list[Block]:
    """Sources and uses, and the days."""
    words = tell.words
    sources = [(name, f"source_{name}_watt_hours") for name in SOURCES]
    sources.append(("battery", "battery_discharge_watt_hours"))
    sources.append(("unknown", "unknown_watt_hours"))
    uses = [(name, f"load_{name}_watt_hours") for name in stacks.LOADS]
    uses += [("charge", "battery_charge_watt_hours"), *_NAMES.items()]
    uses.append(("unmetered", "unmetered_watt_hours"))
    tables = tuple(
        _flows(tell, title, [(n, f) for n, f in flows if tell.has(f)])
        for title, flows in (("sources", sources), ("uses", uses))
    )
    days = stacks.by_day(tell, "sources", stacks.sources(tell))
    return [
        Heading(words("titles.energy"), words("leads.energy")),
        Columns(tables),
        *_export(tell),
        nothing(tell, "no_data") if days is None else days,
    ]


def _export(tell: Teller) -> list[Block]:
    """How much of the own production was sold, beside what the law allows."""
    ratio, cap = tell.figure("export_ratio"), tell.report.export_cap_ratio
    if ratio is None:
        return []
    words = tell.words
    said = words("notices.export", value=tell.ratio(ratio))
    if cap is not None:
        said = f"{said} {words('notices.export_cap', value=tell.ratio(cap))}"
    return [Text(said, note=True)]


def _flows(tell: Teller, title: str, flows: Sequence[tuple[str, str]]) -> Table:
    words = tell.words
    values = [(name, tell.figure(figure)) for name, figure in flows]
    whole = known_sum([value for _, value in values])
    rows = [
        (words.name("flows", name), tell.energy(value, whole),
         tell.ratio(value / whole if value is not None and whole else None))
        for name, value in values
    ]  # fmt: skip
    rows.append(
        (words("table.total"), tell.energy(whole, whole), tell.ratio(1.0 if whole else None))
    )
    head = (words(f"table.{title}"), words("table.energy"), words("table.share"))
    return Table("", head, tuple(rows), ("text", "number", "number"), (1.9, 1.0, 0.8), total=True)


def matching(tell: Teller) -> list[Block]:
    """Carbon-free energy, hour by hour."""
    words, hours = tell.words, tell.report.hours
    found: list[Block] = [Heading(words("titles.cfe"), words("leads.cfe"))]
    if not hours:
        year = tell.report.period.kind == "year"
        return [*found, nothing(tell, "hours_of_months" if year else "no_data")]
    days = [(day, list(each)) for day, each in groupby(hours, key=lambda hour: hour.day)]
    cells = []
    for _, each in days:
        scores = {hour.hour: hour.carbon_free_energy_score_ratio for hour in each}
        cells.append(tuple(_color(scores.get(hour)) for hour in range(24)))
    scale = tuple(
        Legend(tell.plain(f"{round(100 * at * _BAND)}–{round(100 * (at + 1) * _BAND)} %"), color)
        for at, color in enumerate(SCALE)
    )
    score = tell.ratio(tell.figure("carbon_free_energy_score_ratio"))
    alt = words("charts.cfe_alt", days=tell.number(len(days)), score=score)
    rows = tuple(tell.plain(stacks.day_label(day)) for day, _ in days)
    found.append(
        HeatMap(words("charts.cfe"), alt, tuple(tell.plain(str(hour)) for hour in range(24)), rows,
                tuple(cells), scale, words("charts.unknown"))
    )  # fmt: skip
    return found


def _color(score: float | None) -> str:
    if score is None:
        return ""
    return SCALE[min(int(score / _BAND), len(SCALE) - 1)]


def efficiency(tell: Teller) -> list[Block]:
    """PUE against the load, day by day; in a year month by month."""
    words = tell.words
    every = "days" if tell.report.days else "months"
    pairs = [
        (load, pue)
        for one in tell.report.days or tell.report.months
        if (load := one.figures.get("load_watt_hours")) and (pue := one.figures.get("pue_ratio"))
    ]
    head = Heading(words("titles.efficiency"), words(f"leads.efficiency_{every}"))
    found: list[Block] = [head]
    if len(pairs) < 2:
        return [*found, nothing(tell, "no_data")]
    unit, size = energy_unit(max(load for load, _ in pairs))
    xs = _axis([load / size for load, _ in pairs])
    ys = _axis([pue for _, pue in pairs])
    found.append(
        Points(
            words(f"charts.pue_{every}"),
            words(f"charts.pue_{every}_alt", count=tell.number(len(pairs))),
            tuple((_place(load / size, xs), _place(pue, ys)) for load, pue in pairs),
            tuple((_place(mark, xs), tell.number(mark, stacks.digits(xs))) for mark in xs),
            tuple((_place(mark, ys), tell.number(mark, 3)) for mark in ys),
            words(f"charts.load_{every}", unit=unit),
            words("cards.pue"),
            SINKS["cooling"],
        )
    )
    return found


def _axis(values: Sequence[float]) -> list[float]:
    """Round marks that hold all values: of days that are much alike, no empty plane below them."""
    low, high = min(values), max(values)
    step = ticks((high - low) or high)[1]
    first = floor(low / step) * step
    return [first + step * at for at in range(floor((high - first) / step) + 2)]


def _place(value: float, marks: Sequence[float]) -> float:
    return (value - marks[0]) / (marks[-1] - marks[0])
