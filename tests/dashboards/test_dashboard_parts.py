# SPDX-License-Identifier: Apache-2.0
"""The shared parts: one colour per thing, as on the live page, and told apart by all eyes."""

import re
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from rackwatt.collector.accounting.vocabulary import ORIGINS
from rackwatt.collector.accounting.vocabulary import SOURCES as METERED
from rackwatt.collector.copies import rows
from rackwatt.collector.live import page
from rackwatt.collector.store.rollups import MINUTE_RULES
from rackwatt.dashboards import influxql
from rackwatt.dashboards.palette import SERIES, SINKS, SOURCES
from rackwatt.dashboards.thresholds import FILE, limits, steps
from rackwatt.dashboards.units import unit_of
from rackwatt.wire.readings import FIELDS

Color = tuple[float, float, float]
# Viénot, Brettel, Mollon 1999: what people without one kind of cones see, in linear RGB.
EYES = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deuteranopia": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}
LEAST = 8.0
"""CIELAB distance; 2.3 is just noticeable."""


def linear(text: str) -> Color:
    parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return r, g, b


def lab(color: Color) -> Color:
    r, g, b = color
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * max(v, 0) + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(text: str, eye: str) -> Color:
    color = linear(text)
    r, g, b = (sum(a * c for a, c in zip(row, color, strict=True)) for row in EYES[eye])
    return lab((r, g, b))


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colors", [SOURCES, SINKS, dict(enumerate(SERIES))])
def test_colours_are_told_apart(colors: Mapping[Any, str], eye: str) -> None:
    for (one, a), (other, b) in combinations(colors.items(), 2):
        if {one, other} == {"grid", "unknown"}:
            continue  # both grey on purpose: unknown is counted as grid, and hatched on the page
        apart = sum((p - q) ** 2 for p, q in zip(seen(a, eye), seen(b, eye), strict=True)) ** 0.5
        assert apart > LEAST, (eye, one, other, apart)


def test_colours_are_those_of_the_live_page() -> None:
    css = Path(page.__file__).parent / "static" / "css" / "colours.css"
    dark = css.read_text(encoding="utf-8").partition("prefers-color-scheme: dark")[2]
    there = dict(re.findall(r"--([\w-]+): (#\w{6})", dark.partition("}")[0]))
    for name in ("pv", "wind", "hydro", "grid", "genset", "battery"):
        assert SOURCES[name] == there[name]
    assert SOURCES["unknown"] == there["hatch-line"]
    assert set(SOURCES) == {*METERED, *ORIGINS}


def test_names_of_the_copy() -> None:
    assert (influxql.BALANCE, influxql.FIGURES) == (rows.BALANCE, rows.FIGURES)


def test_thresholds_colour_from_good_to_bad() -> None:
    assert FILE.resolve().parts[-2:] == ("alerts", "thresholds.yaml")
    for name, limit in limits().items():
        low, high = sorted([limit.warn, limit.bad])
        assert (limit.warn, limit.bad) == ((low, high) if limit.when == "above" else (high, low)), (
            name
        )
        values = [step.value for step in steps(name).steps or []]
        assert values[0] is None
        assert values[1:] == sorted([limit.warn, limit.bad])


def test_every_field_has_a_unit() -> None:
    unknown = {"bitmask", "meters_per_second", "watts_per_square_meter", "reactive"}
    for fields in FIELDS.values():
        for name in fields:
            if not any(name.endswith(end) for end in unknown):
                assert unit_of(name)


def test_readings_take_the_stored_extremes_and_each_range_one_level() -> None:
    targets = influxql.readings("climate", "temperature_celsius", fold="max", group=["rack"])
    assert [target.text.count("temperature_celsius_max") for target in targets] == [0, 1, 1, 1]
    assert "temperature_celsius_max" in dict.fromkeys(
        name for made in MINUTE_RULES["climate"].values() for name, _ in made
    )
    for levels in (influxql.READINGS, influxql.FLEET):
        bounds = [(level.above_ms, level.through_ms) for level in levels]
        assert bounds[0][0] is None
        assert bounds[-1][1] is None
        assert all(one[1] == other[0] for one, other in pairwise(bounds))


def test_devices_of_a_series_are_summed() -> None:
    raw, minutes, hours, days = influxql.readings(
        "power", "power_watts", across="sum", group=["rack"], alias="$tag_rack"
    )
    assert raw.text.startswith('SELECT sum("v") FROM (SELECT mean("power_watts") AS "v"')
    assert raw.text.endswith('GROUP BY time($__interval), "rack" fill(null)')
    assert minutes.text.startswith('SELECT sum("power_watts") FROM "power_1m"')
    assert hours.text.startswith('SELECT sum("power_watts") FROM "power_1h"')
    assert 'FROM (SELECT mean("power_watts") AS "v" FROM "power_1h"' in days.text
