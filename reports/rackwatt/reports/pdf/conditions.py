# SPDX-License-Identifier: Apache-2.0
"""Efficiency against weather, air at the racks' inlets, and how busy the GPUs were."""

from collections.abc import Sequence
from math import floor
from typing import Final

from rackwatt.reports.parts import HallAir
from rackwatt.reports.pdf.blocks import Align, Block, Card, Cards, Heading, Points, Table, Text
from rackwatt.reports.pdf.numbers import ticks, with_unit
from rackwatt.reports.pdf.palette import SINKS
from rackwatt.reports.pdf.summary import nothing
from rackwatt.reports.pdf.teller import Teller

_ALIGN: Final[tuple[Align, ...]] = (
    "text", "number", "number", "number", "number", "number", "number", "number",
)  # fmt: skip


def weather(tell: Teller) -> list[Block]:
    """What the weather was, and the PUE against the wet bulb, day by day."""
    words, found = tell.words, tell.report.conditions
    if found is None or found.outdoor_temperature_celsius is None:
        return [nothing(tell, "weather")]
    low, high = found.outdoor_temperature_min_celsius, found.outdoor_temperature_max_celsius
    cards = (
        Card(words("conditions.outdoor"), _celsius(tell, found.outdoor_temperature_celsius), "",
             (words("conditions.range", low=_celsius(tell, low), high=_celsius(tell, high)),)),
        Card(words("conditions.wet_bulb"), _celsius(tell, found.wet_bulb_celsius), "",
             (words("conditions.known_part", part=tell.ratio(found.wet_bulb_coverage_ratio)),)),
    )  # fmt: skip
    return [Cards(cards, 2), *_plane(tell)]


def _plane(tell: Teller) -> list[Block]:
    words = tell.words
    pairs = [
        (bulb, pue)
        for one in tell.report.days
        if (bulb := one.figures.get("outdoor_wet_bulb_celsius")) is not None
        and (pue := one.figures.get("pue_ratio")) is not None
    ]
    if len(pairs) < 2:
        return []
    xs, ys = _marks([bulb for bulb, _ in pairs]), _marks([pue for _, pue in pairs])
    return [
        Points(
            words("charts.weather"),
            words("charts.weather_alt", count=tell.number(len(pairs))),
            tuple((_part(bulb, xs), _part(pue, ys)) for bulb, pue in pairs),
            tuple((_part(mark, xs), tell.number(mark, 1)) for mark in xs),
            tuple((_part(mark, ys), tell.number(mark, 3)) for mark in ys),
            words("charts.wet_bulb"),
            words("cards.pue"),
            SINKS["cooling"],
        )
    ]


def thermal(tell: Teller) -> list[Block]:
    """Which part of the racks' time their inlets were within the ranges of their class."""
    words, found = tell.words, tell.report.conditions
    head = Heading(words("titles.thermal"))
    if found is None or found.inlets is None:
        return [head, nothing(tell, "thermal")]
    keys = ("hall", "recommended", "allowable", "coldest", "mean", "warmest", "rack_hours", "known")
    halls = found.halls if len(found.halls) > 1 else []
    rows = [_air(tell, tell.plain(one.hall), one) for one in halls]
    rows.append(_air(tell, words("conditions.all"), found.inlets))
    head_row = tuple(words(f"conditions.{key}") for key in keys)
    table = Table("", head_row, tuple(rows), _ALIGN,
                  (1.6, 1.2, 1.1, 0.9, 0.9, 0.9, 1.1, 0.9), total=bool(halls))  # fmt: skip
    classes = tell.plain(", ".join(found.air_classes))
    return [head, table, Text(words("conditions.class", name=classes), note=True)]


def _air(tell: Teller, name: str, air: HallAir) -> tuple[str, ...]:
    # Two decimals: of a month, an hour of one rack in seven hundred shows.
    return (
        name,
        tell.ratio(air.recommended_ratio, 2),
        tell.ratio(air.allowable_ratio, 2),
        _celsius(tell, air.min_celsius),
        _celsius(tell, air.mean_celsius),
        _celsius(tell, air.max_celsius),
        tell.number(air.rack_hours),
        tell.ratio(air.coverage_ratio),
    )


def gpus(tell: Teller) -> list[Block]:
    """GPU-hours, energy and utilisation of the fleet."""
    words, found = tell.words, tell.report.gpus
    head = Heading(words("titles.gpus"))
    if found is None:
        return [head, nothing(tell, "no_gpus")]
    cards = [
        Card(words("table.gpu_hours"), tell.number(found.gpu_hours)),
        Card(words("table.it"), tell.energy(found.it_watt_hours)),
    ]
    if found.utilization_ratio is None:
        return [head, Cards(tuple(cards), 2), nothing(tell, "utilization")]
    cards.append(Card(words("conditions.utilization"), tell.ratio(found.utilization_ratio)))
    samples = words("conditions.samples", count=tell.number(found.utilization_samples))
    return [head, Cards(tuple(cards), 3), Text(samples, note=True)]


def _celsius(tell: Teller, value: float | None) -> str:
    return with_unit(value, "°C", tell.words.language, 1)


def _marks(values: Sequence[float]) -> list[float]:
    """Round marks of an axis that holds all values; it need not begin at 0."""
    low, high = min(values), max(values)
    step = ticks((high - low) or abs(high))[1]
    first = floor(low / step) * step
    return [first + step * at for at in range(floor((high - first) / step) + 2)]


def _part(value: float, marks: Sequence[float]) -> float:
    return (value - marks[0]) / (marks[-1] - marks[0])
