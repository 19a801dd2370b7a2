# SPDX-License-Identifier: Apache-2.0
"""The tables of `rackwatt ledger show`: what people read, with units."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from rackwatt.collector.accounting.vocabulary import ORIGINS, total
from rackwatt.collector.ledger.commands.forms import Column, print_table
from rackwatt.collector.ledger.commands.times import local

Line = Mapping[str, Any]


def site_table(lines: Sequence[Line], zone: tzinfo) -> None:
    """Print the site's figures, one line for each span, and their sum below."""
    several = len(lines) > 1

    def column(title: str, get: Callable[[Line], Any], unit: str) -> Column:
        values = [get(line) for line in lines]
        if several:
            values.append(total(values))
        return Column(title, values, unit)

    times = [_time(line, zone) for line in lines] + (["sum"] if several else [])
    columns = [Column("Time", times, left=True), column("Load", lambda line: line["load"], "Wh")]
    columns += [
        column(name.capitalize() if name != "pv" else "PV", _part("origins", name), "Wh")
        for name in _present(lines)
    ]
    columns += [
        _share(lines, several=several),
        column("Carbon", _part("carbon", "life_cycle"), "g"),
        _pue(lines, several=several),
        column("Residual", lambda line: line["residual"], "Wh"),
        _last(lines, "Battery", lambda line: line["battery"]["stock"], "Wh", several=several),
        _last(lines, "Known", lambda line: line["completeness"], "%", several=several),
        Column("Flags", [*map(_flags, lines), *([""] if several else [])], left=True),
    ]
    clock = datetime.fromtimestamp(0, zone).tzname() if zone is UTC else str(zone)
    print_table(f"Load by origin, battery traced back; times: {clock}", columns, int(several))


def _time(line: Line, zone: tzinfo) -> str:
    label = str(line["label"])
    if not label.endswith("Z"):
        return label
    return local(round(datetime.fromisoformat(label).timestamp() * 1000), zone)


def _present(lines: Sequence[Line]) -> list[str]:
    """Origins that some line has energy of; all lines may be unknown."""
    return [name for name in ORIGINS if any((line["origins"] or {}).get(name) for line in lines)]


def _part(group: str, name: str) -> Callable[[Line], Any]:
    return lambda line: None if line[group] is None else line[group].get(name, 0.0)


def _share(lines: Sequence[Line], *, several: bool) -> Column:
    values: list[object] = [line["renewable_share"] for line in lines]
    if several:
        loads, green = total([line["load"] for line in lines]), None
        if all(line["origins"] is not None for line in lines):
            names = ("pv", "wind", "hydro")
            green = total([line["origins"].get(name, 0.0) for line in lines for name in names])
        values.append(green / loads if green is not None and loads else None)
    return Column("Renewable", values, "%")


def _pue(lines: Sequence[Line], *, several: bool) -> Column:
    values: list[object] = [line["pue"] for line in lines]
    if several:
        over = total([line["boundary"] for line in lines])
        under = total([line["it"] for line in lines])
        values.append(over / under if over is not None and under else None)
    return Column("PUE", values, digits=3)


def _last(
    lines: Sequence[Line], title: str, get: Callable[[Line], Any], unit: str, *, several: bool
) -> Column:
    """A state, not a sum: what it is at the end of each span."""
    values = [get(line) for line in lines]
    return Column(
        title, [*values, *([values[-1] if unit == "Wh" else ""] if several else [])], unit
    )


def _flags(line: Line) -> str:
    flags: Mapping[str, int] = line["flags"]
    return ", ".join(f"{name} {count}" for name, count in flags.items())


def member_table(level: str, lines: Sequence[Line]) -> None:
    """Print what is attributed to the members of a level."""
    columns = [
        Column("Time", [line["label"].replace("T", " ") for line in lines], left=True),
        Column(level.capitalize(), [line[level] for line in lines], left=True),
    ]
    for title, name in (("IT", "it"), ("Overhead", "overhead"), ("Load", "load")):
        if any(name in line for line in lines):
            columns.append(Column(title, [line.get(name) for line in lines], "Wh"))
    if any("gpu_hours" in line for line in lines):
        columns.append(Column("GPU time", [line.get("gpu_hours") for line in lines], "h"))
    columns.append(Column("Carbon", [_carbon(line) for line in lines], "g"))
    if any(line.get("origins") for line in lines):
        columns.append(Column("Renewable", [_green(line) for line in lines], "%"))
    print_table(f"Attributed by {level}; not a legal billing meter", columns)


def _carbon(line: Line) -> float | None:
    carbon: Mapping[str, float | None] | None = line.get("carbon")
    return None if carbon is None else carbon.get("life_cycle")


def _green(line: Line) -> float | None:
    origins: Mapping[str, float | None] | None = line.get("origins")
    if origins is None:
        return None
    green = total([origins.get(name, 0.0) for name in ("pv", "wind", "hydro")])
    whole = total(origins.values())
    return green / whole if green is not None and whole else None


def revision_table(lines: Sequence[Line]) -> None:
    """Print every revision of every minute."""
    columns = [
        Column("Minute", [line["start"] for line in lines], left=True),
        Column("Entry", [line["entry"] for line in lines], digits=0),
        Column("Revision", [line["revision"] for line in lines], digits=0),
        Column("Cause", [line["cause"] for line in lines], left=True),
        Column("Author", [line["author"] for line in lines], left=True),
        Column("Load", [line["load"] for line in lines], "Wh"),
        Column("Carbon", [line["carbon"]["life_cycle"] for line in lines], "g"),
        Column("Residual", [line["residual"] for line in lines], "Wh"),
        Column("Known", [line["completeness"] for line in lines], "%"),
        Column("Flags", [" ".join(_all_flags(line)) for line in lines], left=True),
    ]
    print_table("Every revision; the last one of a minute counts", columns)


def _all_flags(line: Line) -> list[str]:
    return sorted({*line["flags"], *line["metering"]})
