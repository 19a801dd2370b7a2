# SPDX-License-Identifier: Apache-2.0
"""What a simulation says at its end: where things are, a few figures, what to try next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.accounting.period import period
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import Site
from rackwatt.twin.simulate.span import SimulatedSpan

_MEGA: Final = 1e6


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ledger beside the truth.

    Attributes:
        energies: Largest relative difference of a source's or sink's energy, 0..1.
        worst: Which one that is.
        shares: Largest difference of an origin's share, percentage points.
        pue: Difference of the PUE.
    """

    energies: float
    worst: str
    shares: float
    pue: float


def figures_of(path: Path, site: Site, span: SimulatedSpan) -> PeriodFigures:
    """The figures of the span, out of the ledger.

    Raises:
        sqlite3.Error: it cannot be read.
    """

    def rows(reader: LedgerReader) -> Iterator[BookedInterval]:
        for row in reader.rows(span.start_ms, span.end_ms):
            yield booked(row)

    with LedgerReader(path) as reader:
        return period(rows(reader), rules_of(site, span.start_ms))


_PAIRS: Final[Mapping[str, str]] = {
    "pv": "pv", "wind": "wind", "genset": "genset", "grid": "grid_import", "it": "load_it",
    "cooling": "load_cooling", "other": "load_other", "export": "grid_export",
}  # fmt: skip
"""Losses are the difference of two meters: they are seen with what they are taken from."""


def compare(found: PeriodFigures, truth: Mapping[str, float]) -> Comparison:
    """Set the ledger's figures beside the twin's own.

    Args:
        found: What the ledger says.
        truth: True energies of the same span, Wh; see `truthfile`.
    """
    booked_energies = {**found.sources, **found.sinks}
    pairs = {
        name: (figure.value, truth[flow])
        for name, flow in _PAIRS.items()
        if (figure := booked_energies.get(name)) is not None
    }
    ups = [booked_energies.get(name) for name in ("it", "losses")]
    values = [figure.value for figure in ups if figure is not None and figure.value is not None]
    if len(values) == len(ups):
        pairs["it + losses"] = sum(values), truth["load_it"] + truth["load_losses"]
    differences = {
        name: abs(value - true) / true
        for name, (value, true) in pairs.items()
        if value is not None and true > 0.0
    }
    worst = max(differences, key=differences.__getitem__, default="")
    load = truth["load"]
    ledger_load = sum(f.value or 0.0 for f in found.origins.values())
    points = [
        abs((figure.value or 0.0) / ledger_load - truth.get(f"origin_{name}", 0.0) / load) * 100.0
        for name, figure in found.origins.items()
        if ledger_load > 0.0 and load > 0.0
    ]
    true_pue = truth["boundary"] / truth["load_it"] if truth["load_it"] else 0.0
    pue = found.pue.value
    return Comparison(
        differences.get(worst, 0.0),
        worst,
        max(points, default=0.0),
        0.0 if pue is None else pue - true_pue,
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def report(found: PeriodFigures) -> list[tuple[str, str]]:
    """A few figures as name and value."""
    shares = found.shares
    carbon = found.carbon["operational"].value
    life_cycle = found.carbon["life_cycle"].value
    pue = found.pue
    residual = f"{_percent(found.residual_ratio.value, 3)} of the sources"
    category = f", category {pue.category}" if pue.category else ""
    return [
        ("consumption", f"{_mega(found.load.value)} MWh, of it IT {_mega(found.it.value)} MWh"),
        ("PUE", "unknown" if pue.value is None else f"{pue.value:.3f} (interim{category})"),
        ("renewable", f"{_percent(shares.renewable)}, grid {_percent(shares.grid)}"),
        ("carbon-free", _percent(shares.carbon_free)),
        ("carbon", f"{_mega(carbon)} t operational, {_mega(life_cycle)} t life cycle"),
        ("books", f"complete to {_percent(found.completeness)}, residual {residual}"),
    ]  # fmt: skip


def _mega(value: float | None) -> str:
    return "unknown" if value is None else f"{value / _MEGA:.2f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "unknown" if value is None else f"{value * 100.0:.{digits}f} %"
