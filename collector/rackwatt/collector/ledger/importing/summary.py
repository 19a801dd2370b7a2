# SPDX-License-Identifier: Apache-2.0
"""What an import comes to, for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.accounting.vocabulary import DAY_MS
from rackwatt.collector.ledger.importing.closing import Check
from rackwatt.collector.ledger.importing.provenance import Provenance
from rackwatt.collector.ledger.importing.reader import utc
from rackwatt.collector.ledger.importing.tally import Known, PeriodRatio, Tally
from rackwatt.collector.ledger.units import scale

_MEANINGS: Final[Mapping[str, str]] = {
    "missing_value": "an energy is unknown, and so is what depends on it",
    "residual_unknown": "so the balance cannot be judged",
    "charge_of_unknown_origin": "stored as 'unknown' at the grid's factor",
    "discharge_beyond_stock": "booked as 'unknown' at the grid's factor",
    "discharge_beyond_capacity": "more than the battery can hold: check the meter",
    "battery_stale": "a charge or discharge was unknown: the stock is a guess from there on",
    "initial_stock": "of unknown origin, never renewable",
    "factor_missing": "carbon stays empty",
    "gap_before": "the battery's state was kept",
    "offset_change": "order is judged in UTC; nothing was moved",
}
_DAY_SECONDS: Final = DAY_MS / 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """An import that has been done.

    Attributes:
        tally: Sums, ratios and oddities.
        checks: Whether the books close.
        provenance: Defaults and what is missing.
        unknown_cells: Empty cells by column.
        residual_limit_ratio: What a month's summed residual may be of its sources.
        wall_seconds: How long it took.
    """

    tally: Tally
    checks: Sequence[Check]
    provenance: Provenance
    unknown_cells: Mapping[str, int]
    residual_limit_ratio: float
    wall_seconds: float

    @property
    def closed(self) -> bool:
        """Whether the books close."""
        return all(check.right for check in self.checks)

    @property
    def coverage_seconds(self) -> float:
        """All time from the first row to the end of the last one."""
        return self.tally.seconds + self.tally.gap_seconds

    def as_json(self) -> dict[str, Any]:
        """The summary for programs; what is unknown is null."""
        tally = self.tally
        first, last = tally.first, tally.last
        return {
            "rows": tally.rows,
            "from": None if first is None else utc(first.row.start_us),
            "to": None if last is None else utc(last.row.end_us),
            "seconds": tally.seconds,
            "gaps": {
                "count": tally.gap_count,
                "seconds": tally.gap_seconds,
                "first": [
                    {"line": gap.line, "before": gap.time, "seconds": gap.seconds}
                    for gap in tally.gaps
                ],
            },
            "offset_changes": {
                "count": tally.offset_count,
                "first": [
                    {
                        "line": change.line,
                        "time": change.time,
                        "before": offset_text(change.before),
                        "after": offset_text(change.after),
                    }
                    for change in tally.offsets
                ],
            },
            "unknown_cells": {name: n for name, n in self.unknown_cells.items() if n},
            "flags": dict(sorted(tally.flags.items())),
            "sums": {name: self._sum(known) for name, known in tally.sums.items()},
            "ratios": {name: self._ratio(ratio) for name, ratio in tally.ratios.items()},
            "months": [
                {
                    "month": label,
                    "residual_wh": month.residual,
                    "residual_ratio": _divided(month.residual, month.supplied),
                    "flagged": label in self.flagged_months(),
                }
                for label, month in tally.months.items()
            ],
            "battery": self._battery(),
            "closing": [
                {"series": c.name, "in": c.into, "out": c.out, "relative_error": c.error}
                for c in self.checks
            ],
            "closed": self.closed,
            "defaults": list(self.provenance.defaults),
            "missing": list(self.provenance.missing),
            "wall_seconds": round(self.wall_seconds, 3),
        }

    def flagged_months(self) -> set[str]:
        """Local months with a day or more whose summed residual is beyond the limit."""
        return {
            label
            for label, month in self.tally.months.items()
            if month.seconds >= _DAY_SECONDS
            and abs(month.residual) > self.residual_limit_ratio * month.supplied
        }

    def reported(self, ratio: PeriodRatio) -> float | None:
        """The ratio, ``None`` where too little of the time is covered."""
        whole = self.coverage_seconds
        covered = whole > 0.0 and ratio.seconds >= REPORTED_COVERAGE * whole
        return ratio.value if covered else None

    def coverage(self, seconds: float) -> float:
        """That time as a part of all, 0..1."""
        whole = self.coverage_seconds
        return seconds / whole if whole > 0.0 else 0.0

    def _sum(self, known: Known) -> dict[str, float | None]:
        value = known.value if known.seconds > 0.0 else None
        return {"value": value, "coverage": self.coverage(known.seconds)}

    def _ratio(self, ratio: PeriodRatio) -> dict[str, float | None]:
        return {"value": self.reported(ratio), "coverage": self.coverage(ratio.seconds)}

    def _battery(self) -> dict[str, Any]:
        last = self.tally.last
        if last is None:
            return {}
        state = last.account.battery
        return {
            "stock_wh": state.watt_hours,
            "stock_by_origin_wh": dict(state.stock),
            "carbon_g": dict(state.carbon),
            "stale": state.stale,
        }

    def as_text(self) -> str:
        """The summary for people."""
        return "\n".join([*self._head(), *self._figures(), *self._odd(), *self._end()])

    def _head(self) -> Iterator[str]:
        tally = self.tally
        if tally.first is None or tally.last is None:
            return
        start, end = utc(tally.first.row.start_us), utc(tally.last.row.end_us)
        rows = "row" if tally.rows == 1 else "rows"
        booked = f"{tally.rows:,} {rows} booked in {self.wall_seconds:.1f} s"
        yield f"{booked}: {start} to {end}, {_length(tally.seconds)} metered"

    def _figures(self) -> Iterator[str]:
        sums, ratios = self.tally.sums, self.tally.ratios
        load, it = sums["load_wh"], sums["it_wh"]
        yield f"  load          {_kwh(load.value)}, of which IT {_kwh(it.value)}"
        category = "E_DC / E_IT, interim, battery losses inside"
        yield f"  PUE           {self._shown(ratios['pue'], 4)}   ({category})"
        yield f"  load per IT   {self._shown(ratios['load_per_it'], 4)}"
        for label, name in (
            ("renewable", "renewable_share"),
            ("grid", "grid_share"),
            ("carbon-free", "carbon_free_share"),
            ("unknown", "unknown_share"),
            ("contracted", "contracted_share"),
        ):
            yield f"  {label:<13} {self._shown(ratios[name], 2, percent=True)}"
        for label, mass, name in (
            ("life cycle", "carbon_life_cycle_g", "life_cycle_g_per_wh"),
            ("operational", "carbon_operational_g", "operational_g_per_wh"),
        ):
            shown = self._shown(ratios[name], 2, scale=1000.0, unit=" g")
            yield f"  {label:<13} {_kg(sums[mass])}; per kWh {shown}"
        yield f"  scope 2       {_kg(sums['scope_2_g'])}, location-based"
        if sums["surplus_wh"].value:
            surplus = _kwh(sums["surplus_wh"].value)
            yield f"  surplus       {surplus} were claimed beyond the import of their hour"
        ratio = ratios["residual_ratio"]
        shown = self._shown(ratio, 4, percent=True, signed=True, unit=" of the sources")
        yield f"  residual      {shown}"
        for label in sorted(self.flagged_months()):
            month = self.tally.months[label]
            part = _divided(month.residual, month.supplied) or 0.0
            limit = f"more than the limit of {self.residual_limit_ratio * 100:.2f} %"
            yield (
                f"  {label}: the month's residual is {part * 100:+.3f} % of its sources, {limit}"
            )

    def _shown(
        self,
        ratio: PeriodRatio,
        digits: int,
        *,
        percent: bool = False,
        signed: bool = False,
        scale: float = 1.0,
        unit: str = "",
    ) -> str:
        value, part = self.reported(ratio), self.coverage(ratio.seconds)
        if value is None:
            reason = f"known for {part * 100:.1f} % of the time; 95 % are needed"
            return (
                f"unknown ({reason})"
                if part < REPORTED_COVERAGE
                else "unknown (nothing to divide by)"
            )
        form = f"{'+' if signed and value else ''}.{digits}{'%' if percent else 'f'}"
        text = f"{value * scale:{form}}".replace("%", " %") + unit
        return text if part > 1.0 - 1e-9 else f"{text} (known for {part * 100:.1f} % of the time)"

    def _odd(self) -> Iterator[str]:
        tally = self.tally
        for gap in tally.gaps:
            yield f"  gap of {_length(gap.seconds)} before line {gap.line} ({gap.time})"
        if tally.gap_count > len(tally.gaps):
            yield f"  ... {tally.gap_count:,} gaps, {_length(tally.gap_seconds)} in all"
        for change in tally.offsets:
            before, after = offset_text(change.before), offset_text(change.after)
            yield f"  offset {before} -> {after} at line {change.line} ({change.time})"
        if tally.offset_count > len(tally.offsets):
            yield f"  ... {tally.offset_count:,} changes of the offset in all"
        empty = [f"{name} {count:,}" for name, count in self.unknown_cells.items() if count]
        if empty:
            yield "  empty cells: " + ", ".join(empty)
        for flag, count in sorted(tally.flags.items()):
            meaning = _MEANINGS.get(flag)
            rows = "row" if count == 1 else "rows"
            yield f"  {flag}: {count:,} {rows}" + (f" ({meaning})" if meaning else "")

    def _end(self) -> Iterator[str]:
        for text in self.provenance.defaults:
            yield f"  default: {text}"
        for text in self.provenance.missing:
            yield f"  missing: {text}"
        judged = [check for check in self.checks if check.error is not None]
        for check in judged:
            if not check.right:
                error = f"in {check.into!r}, out {check.out!r}"
                yield f"  DOES NOT CLOSE: {check.name}: {error}"
        if self.closed:
            worst = max((check.error or 0.0 for check in judged), default=0.0)
            error = f"to {worst:.0e} of the whole" if worst else "exactly"
            yield f"  the books close: energy, each origin and carbon, {error}"
        unjudged = [check.name for check in self.checks if check.error is None]
        if unjudged:
            yield f"  not judged, for want of a factor: {', '.join(unjudged)}"


def offset_text(offset: timedelta) -> str:
    """`+01:00`."""
    seconds = round(offset.total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    text = f"{'-' if seconds < 0 else '+'}{hours:02d}:{rest // 60:02d}"
    return text if rest % 60 == 0 else f"{text}:{rest % 60:02d}"


def _length(seconds: float) -> str:
    """`1 h`, `1 h 30 min`, `12.5 s`."""
    whole, rest = divmod(seconds, 60.0)
    hours, minutes = divmod(int(whole), 60)
    parts = [(f"{hours:,}", "h", hours), (f"{minutes}", "min", minutes), (f"{rest:g}", "s", rest)]
    return " ".join(f"{text} {unit}" for text, unit, size in parts if size) or "0 s"


def _kwh(watt_hours: float) -> str:
    unit, factor = scale("Wh", abs(watt_hours))
    return f"{watt_hours * factor:,.3f} {unit}"


def _kg(mass: Known) -> str:
    unit, factor = scale("g", abs(mass.value))
    return f"{mass.value * factor:,.3f} {unit}" if mass.seconds > 0.0 else "unknown"


def _divided(over: float, under: float) -> float | None:
    return over / under if under else None
