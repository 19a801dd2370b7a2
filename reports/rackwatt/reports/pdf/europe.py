# SPDX-License-Identifier: Apache-2.0
"""The fields after EU 2024/1364 on paper, in the regulation's units."""

from typing import Final

from rackwatt.reports.pdf.blocks import Block, Heading, Table, Text
from rackwatt.reports.pdf.numbers import UNKNOWN, with_unit
from rackwatt.reports.pdf.teller import Teller

_FIELDS: Final = (
    ("e_dc", "kWh", 1e-3, 0),
    ("e_it", "kWh", 1e-3, 0),
    ("e_res_tot", "kWh", 1e-3, 0),
    ("e_res_goo", "kWh", 1e-3, 0),
    ("e_res_ppa", "kWh", 1e-3, 0),
    ("e_res_os", "kWh", 1e-3, 0),
    ("e_reuse", "kWh", 1e-3, 0),
    ("w_in", "m³", 1e-3, 1),
    ("pd_it", "kW", 1e-3, 0),
    ("battery_capacity", "kWh", 1e-3, 0),
    ("floor_area", "m²", 1.0, 0),
    ("computer_room_area", "m²", 1.0, 0),
    ("pue", "", 1.0, 3),
    ("ref", "", 1.0, 3),
    ("wue", "L/kWh", 1.0, 3),
    ("erf", "", 1.0, 3),
)
"""Field, unit, what the document's unit is multiplied with, decimals."""


def europe(tell: Teller) -> list[Block]:
    """What is reported to the authorities, and the label classes, indicative."""
    words, found = tell.words, tell.report.eu
    rows = [
        (tell.plain(name.upper()), words(f"eu.{name}"),
         _value(tell, found.fields.get(name), unit, scale, digits))
        for name, unit, scale, digits in _FIELDS
    ]  # fmt: skip
    for name, label in (("pue", found.pue_class), ("wue", found.wue_class)):
        rows.append((words(f"eu.{name}_class"), words("eu.class_of"), label or UNKNOWN))
    head = (words("table.field"), words("table.item"), words("table.value"))
    return [
        Heading(words("titles.eu"), words("leads.eu")),
        Table("", head, tuple(rows), ("text", "text", "number"), (1.3, 3.2, 1.2)),
        Text(words("notices.eu_unknown"), note=True),
    ]


def _value(tell: Teller, value: float | None, unit: str, scale: float, digits: int) -> str:
    if not unit:
        return tell.number(value, digits)
    scaled = None if value is None else value * scale
    return with_unit(scaled, unit, tell.words.language, digits)
