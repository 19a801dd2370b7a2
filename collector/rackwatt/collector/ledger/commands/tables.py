# SPDX-License-Identifier: Apache-2.0
"""The tables of `rackwatt ledger show`: what people read, with units."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.calendar import span_at
from rackwatt.collector.accounting.vocabulary import ORIGINS, RENEWABLE, total
from rackwatt.collector.ledger.commands.figures import Line
from rackwatt.collector.ledger.commands.forms import Column, print_table
from rackwatt.collector.ledger.commands.times import local

Values = Mapping[str, Any]
_WHOLE: Final = 0.9995
"""From here on a part is 100.0 % when it is printed."""


def site_table(lines: Sequence[Line], zone: tzinfo, every: Any) -> None:
    """Print the site's figures, one line for each span, and those of all below.

    Args:
        lines: the last one is of all spans.
        zone: by whose clocks.
        every: how long spans are: one that is not whole is marked.
    """
    shown = lines if len(lines) > 2 else lines[:1]

    def column(
        title: str, get: Callable[[Line], object], unit: str = "", digits: int = 1
    ) -> Column:
        return Column(title, [get(line) for line in shown], unit, digits)

    present = [name for name in ORIGINS if lines[-1].figures.origins[name].known]
    columns = [
        Column("Time", [_time(line, zone, every) for line in shown], left=True),
        column("Load", lambda line: line.figures.load.value, "Wh"),
        *(column(_title(name), _origin(name), "Wh") for name in present),
        column("Renew-\nable", lambda line: line.figures.shares.renewable, "%"),
        column("Carbon", lambda line: line.figures.carbon["life_cycle"].value, "g"),
        column("PUE", lambda line: line.figures.pue.value, digits=3),
        column("Resid-\nual", lambda line: line.figures.residual.value, "Wh"),
        column("Battery", lambda line: fsum(line.battery["stock"].values()), "Wh"),
    ]
    whole = all((line.figures.completeness or 0.0) >= _WHOLE for line in shown)
    if not whole:
        columns.append(column("Known", lambda line: line.figures.completeness, "%"))
    if any(line.figures.flags for line in shown):
        columns.append(Column("Flags", [_flags(line.figures.flags) for line in shown], left=True))
    extra: list[Column] = []
    at = [one.title for one in columns].index("PUE") + 1
    if lines[-1].figures.water:
        extra += [
            column("Water", lambda line: line.figures.water_liters, "L"),
            column("WUE", lambda line: line.figures.wue.value, "L/kWh", digits=3),
        ]
    if lines[-1].figures.after_losses is not None:
        after = column("After\nlosses", _after_losses, "Wh")
        columns.insert([one.title for one in columns].index("Battery"), after)
    if lines[-1].figures.heat_reused is not None:
        extra.append(column("ERF", lambda line: line.figures.erf.value, "%"))
    columns[at:at] = extra
    clock = "UTC" if zone is UTC else str(zone)
    title = f"Load by origin, battery traced back; carbon of the life cycle; times: {clock}"
    note = "All flows of all lines are known." if whole else ""
    print_table(title, columns, len(shown) > 1, note=note)


def _after_losses(line: Line) -> float | None:
    return None if line.figures.after_losses is None else line.figures.after_losses.value


def _time(line: Line, zone: tzinfo, every: Any) -> str:
    if line.span is None:
        return "all"
    label = _local(line.span.label, zone)
    whole = span_at(line.span.start_ms, every, zone)
    cut = (whole.start_ms, whole.end_ms) != (line.span.start_ms, line.span.end_ms)
    return f"{label} (part)" if cut else label


def _local(label: str, zone: tzinfo) -> str:
    """A span's label by the site's clocks."""
    if not label.endswith("Z"):
        return label
    return local(round(datetime.fromisoformat(label).timestamp() * 1000), zone)


def _title(origin: str) -> str:
    return {"pv": "PV", "unknown": "Un-\nknown"}.get(origin, origin.capitalize())


def _origin(name: str) -> Callable[[Line], object]:
    return lambda line: line.figures.origins[name].value


def _flags(flags: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in flags.items())


def member_table(level: str, zone: tzinfo, lines: Sequence[Values]) -> None:
    """Print what is attributed to the members of a level."""
    name = "GPU" if level == "gpu" else level
    columns = [
        Column("Time", [_local(line["label"], zone) for line in lines], left=True),
        Column(name[0].upper() + name[1:], [line[level] for line in lines], left=True),
    ]
    for title, term in (("IT", "it"), ("Overhead", "overhead"), ("Load", "load")):
        if any(term in line for line in lines):
            columns.append(Column(title, [line.get(term) for line in lines], "Wh"))
    if any("gpu_hours" in line for line in lines):
        columns.append(Column("GPU time", [line.get("gpu_hours") for line in lines], "h"))
    columns.append(Column("Carbon", [_carbon(line) for line in lines], "g"))
    if any(line.get("origins") for line in lines):
        columns.append(Column("Renew-\nable", [_green(line) for line in lines], "%"))
    print_table(f"Attributed by {name}: allocated, not a legal billing meter", columns, keys=2)


def _carbon(line: Values) -> float | None:
    carbon: Mapping[str, float | None] | None = line.get("carbon")
    return None if carbon is None else carbon.get("life_cycle")


def _green(line: Values) -> float | None:
    origins: Mapping[str, float | None] | None = line.get("origins")
    if origins is None:
        return None
    green = total([origins.get(name, 0.0) for name in RENEWABLE])
    whole = total(origins.values())
    return green / whole if green is not None and whole else None


def revision_table(lines: Sequence[Values]) -> None:
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


def _all_flags(line: Values) -> list[str]:
    return sorted({*line["flags"], *line["metering"]})
