# SPDX-License-Identifier: Apache-2.0
"""The months of a year, a line each."""

from rackwatt.reports.parts import Figures
from rackwatt.reports.pdf.blocks import Align, Block, Heading, Table
from rackwatt.reports.pdf.teller import Teller


def months(tell: Teller) -> list[Block]:
    """The months of a year and the year; nothing in the report of a month."""
    words, report = tell.words, tell.report
    if not report.months:
        return []
    whole = report.figures
    rows = [
        (words(f"months.{int(one.label.rpartition('-')[2])}"), *_line(tell, one.figures, whole))
        for one in report.months
    ]
    rows.append((tell.plain(report.period.label), *_line(tell, whole, whole)))
    head = (
        words("table.month"), words("table.energy"), words("table.it"), words("cards.pue"),
        words("table.renewable"), words("table.cfe"), words("table.location"),
        words("table.market"),
    )  # fmt: skip
    align: tuple[Align, ...] = ("text", *("number",) * 7)
    return [
        Heading(words("titles.months"), words("leads.months")),
        Table("", head, tuple(rows), align, (1.1, 1.1, 1.1, 0.7, 1.0, 0.8, 1.2, 1.2), total=True),
    ]


def _line(tell: Teller, figures: Figures, whole: Figures) -> tuple[str, ...]:
    energies, masses = whole.get("load_watt_hours"), whole.get("scope_2_location_grams")
    return (
        tell.energy(figures.get("load_watt_hours"), energies),
        tell.energy(figures.get("load_it_watt_hours"), energies),
        tell.number(figures.get("pue_ratio"), 3),
        tell.ratio(figures.get("renewable_share_ratio")),
        tell.ratio(figures.get("carbon_free_energy_score_ratio")),
        tell.mass(figures.get("scope_2_location_grams"), masses),
        tell.mass(figures.get("scope_2_market_grams"), masses),
    )
