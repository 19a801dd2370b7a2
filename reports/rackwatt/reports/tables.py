# SPDX-License-Identifier: Apache-2.0
"""The report's CSV files: full precision, one dot, no thousands separators; unknown is empty."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rackwatt.reports.document import Report
from rackwatt.reports.parts import TenantLine

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_EU_UNITS: Final = {
    "e_dc": "Wh", "e_it": "Wh", "pd_it": "W", "w_in": "L", "e_reuse": "Wh", "e_res_goo": "Wh",
    "e_res_ppa": "Wh", "e_res_os": "Wh", "e_res_tot": "Wh", "floor_area": "m2",
    "computer_room_area": "m2", "battery_capacity": "Wh", "pue": "1", "wue": "L/kWh", "erf": "1",
    "ref": "1",
}  # fmt: skip


def text_of(rows: Iterable[Mapping[str, Any]], head: Sequence[str]) -> str:
    """Return rows as CSV, columns in the order of their first appearance behind the head's."""
    found = list(rows)
    columns = list(dict.fromkeys([*head, *(name for row in found for name in row)]))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in found:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return out.getvalue()


def _cell(value: Any) -> str:
    """A cell; a text that a spreadsheet would take for a formula is quoted."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value) if isinstance(value, float) else str(value)


def spans_csv(report: Report) -> str:
    """Days and hours of a month, or months of a year, with the whole period last."""
    rows: list[dict[str, Any]] = []
    for every, spans in (("month", report.months), ("day", report.days)):
        rows += [
            {"every": every, **one.model_dump(exclude={"figures"}), **one.figures} for one in spans
        ]
    for hour in report.hours:
        values = hour.model_dump(exclude={"day", "hour"})
        rows.append({"every": "hour", "label": hour.day, "hours": None, **values})
    period = report.period
    rows.append(
        {
            "every": "period",
            "label": period.label,
            "start": period.start,
            "end": period.end,
            "hours": period.hours,
            **report.figures,
        }
    )
    return text_of(rows, ("every", "label", "start", "end", "hours"))


def tenant_csv(report: Report, line: TenantLine) -> str:
    """A tenant's statement."""
    period = report.period
    row: dict[str, Any] = {
        "site": report.site.id,
        "period": period.label,
        "start": period.start,
        "end": period.end,
        "state": report.state,
        "tenant": line.id,
        **line.model_dump(exclude={"id", "origins_watt_hours"}),
        **{f"origin_{name}_watt_hours": value for name, value in line.origins_watt_hours.items()},
        "overhead_rule": report.method.overhead_rule,
        "ledger_entry": report.proof.entry,
    }
    return text_of([row], ())


def eu_csv(report: Report) -> str:
    """The fields after EU 2024/1364 and the label classes, which are indicative."""
    rows: list[dict[str, Any]] = [
        {"field": name, "value": value, "unit": _EU_UNITS.get(name, ""), "note": ""}
        for name, value in report.eu.fields.items()
    ]
    for name, found in (("pue_class", report.eu.pue_class), ("wue_class", report.eu.wue_class)):
        rows.append({"field": name, "value": found, "unit": "", "note": "indicative"})
    return text_of(rows, ("field", "value", "unit", "note"))


def certificates_csv(report: Report) -> str:
    """The certificates that the period's figures rest on."""
    head = ("registry", "serial", "source", "start", "end", "watt_hours", "inside_watt_hours")
    return text_of((one.model_dump() for one in report.carbon.certificates), head)
