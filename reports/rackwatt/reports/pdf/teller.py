# SPDX-License-Identifier: Apache-2.0
"""A report told in one language: its figures as text, ready to print."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from rackwatt.reports.document import Report
from rackwatt.reports.pdf.numbers import (
    UNKNOWN,
    energy_unit,
    isolated,
    mass_unit,
    number,
    percent,
    with_unit,
)
from rackwatt.reports.pdf.words import Words


@dataclass(frozen=True, slots=True)
class Teller:
    """A report and a language."""

    report: Report
    words: Words

    def figure(self, name: str) -> float | None:
        """A figure of the period."""
        return self.report.figures.get(name)

    def has(self, name: str) -> bool:
        """Whether the site has such a flow: it is not 0, though it may be unknown."""
        return self.report.figures.get(name, 0.0) != 0.0

    def ratio(self, value: float | None, digits: int = 1) -> str:
        """A ratio as a percentage."""
        return percent(value, self.words.language, digits)

    def number(self, value: float | None, digits: int = 0) -> str:
        """A bare number."""
        return number(value, self.words.language, digits)

    def energy(self, watt_hours: float | None, largest: float | None = None) -> str:
        """An energy in the unit that fits the largest of its table."""
        unit, size = energy_unit(abs(largest or watt_hours or 0.0))
        scaled = None if watt_hours is None else watt_hours / size
        return with_unit(scaled, unit, self.words.language, 1)

    def mass(self, grams: float | None, largest: float | None = None) -> str:
        """A mass of CO2e, likewise."""
        unit, size = mass_unit(abs(largest or grams or 0.0))
        scaled = None if grams is None else grams / size
        return with_unit(scaled, f"{unit} CO₂e", self.words.language, 2)

    def price(self, amount: float, currency: str) -> str:
        """An amount of money."""
        return with_unit(amount, currency, self.words.language, 2)

    def plain(self, text: str) -> str:
        """A name or an identifier, which reads from left to right."""
        return isolated(text, self.words.language)

    def day(self, text: str | None) -> str:
        """A date or a time as `2026-10-01`."""
        return UNKNOWN if not text else self.plain(text[:10])

    def period(self) -> str:
        """`October 2026`, or `2026`."""
        label = self.report.period.label
        if self.report.period.kind == "year":
            return self.plain(label)
        year, month = label.split("-")
        return f"{self.words(f'months.{int(month)}')} {self.plain(year)}"

    def last_day(self) -> date:
        """The last day of the period."""
        end = datetime.fromisoformat(self.report.period.end)
        return date.fromordinal(end.date().toordinal() - 1)

    def change(self, name: str, now: float | None, before: float | None) -> str:
        """How a figure stands against an earlier one: ratios in points, others in percent."""
        if now is None or before is None:
            return UNKNOWN
        language = self.words.language
        if name.endswith("_share_ratio") or name == "carbon_free_energy_score_ratio":
            said = with_unit((now - before) * 100, "pp", language, 1)
        else:
            said = percent(now / before - 1.0, language) if before else UNKNOWN
        more = now > before and any(one in "123456789" for one in said)
        return self.plain(f"+{said}") if more else said


def known_sum(values: Sequence[float | None]) -> float | None:
    """Return the sum, which is unknown where one of them is, or where there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
