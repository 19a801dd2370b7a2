# SPDX-License-Identifier: Apache-2.0
"""Energies of single meters, as quarter hours keep them: what the uncertainty of a PUE rests on."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rackwatt.collector.accounting.channels import (
    CHARGE,
    DISCHARGE,
    FORWARD,
    OUTPUT,
    REVERSE,
    Channel,
    Tap,
    TermsLike,
    taps,
)
from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.accounting.metering import Energy
from rackwatt.collector.accounting.pue_meters import ROLE_OF
from rackwatt.collector.accounting.vocabulary import total
from rackwatt.collector.ledger.dirty import QUARTER_MS
from rackwatt.collector.ledger.sites import SiteBooks

_NAMES: Final[Mapping[Channel, str]] = {
    FORWARD: "import",
    REVERSE: "export",
    CHARGE: "charge",
    DISCHARGE: "discharge",
    OUTPUT: "output",
}
_DIGITS: Final = 3
"""A thousandth of a Wh is finer than any register, and keeps rows short."""
MILLI: Final = 10**_DIGITS
TOPOLOGY: Final = "topology_changed"
"""Flag of a quarter hour within which meters changed: its meters are those of its begin."""
_OUTPUT_ENDS: Final = f"|{_NAMES[OUTPUT]}"

Meters = Mapping[str, float | None]
"""``meter|channel`` to its energy, Wh."""


def meter_row(members: Iterable[Tap], energies: Callable[[Tap], Sequence[Energy]]) -> Meters:
    """Return the energy of each physical meter behind the terms of a quarter hour.

    Args:
        members: The terms.
        energies: What a meter says of the intervals.
    """
    found: dict[str, float | None] = {}
    for tap in members:
        name = _name(tap)
        if name not in found:
            energy = total(one.watt_hours for one in energies(tap))
            found[name] = None if energy is None else round(energy, _DIGITS)
    return found


def unequal(
    parts: Iterable[tuple[Tap, float | None]], booked: Mapping[str, float | None]
) -> list[str]:
    """Return the flows whose meters do not add up to what is booked.

    Args:
        parts: Terms of a quarter hour with what they add.
        booked: What its intervals say of each flow, Wh; ``None`` = unknown.
    """
    sums: dict[str, list[float | None]] = {}
    for tap, energy in parts:
        sums.setdefault(tap.flow, []).append(energy)
    return sorted(
        flow
        for flow, whole in booked.items()
        if not _same(total(sums.get(flow, ())), whole, len(sums.get(flow, ())))
    )


def _same(one: float | None, other: float | None, terms: int) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= terms / MILLI + 1e-9 * abs(other)


def _name(tap: Tap) -> str:
    return f"{tap.device}|{_NAMES[tap.channel]}"


class MeterTerms:
    """Reads quarter hours' meters as terms of flows.

    Args:
        site: Its terms by time.
    """

    def __init__(self, site: SiteBooks) -> None:
        self._site = site
        self._known: tuple[TermsLike, frozenset[str], tuple[tuple[Tap, str], ...]] | None = None

    def read(self, start_ms: int, meters: Meters) -> Iterator[tuple[Tap, float | None]]:
        """Each term of a quarter hour with what it adds to its flow, Wh; ``None``: unknown."""
        terms = self._site.terms_at(start_ms)
        outputs = frozenset(
            name.rpartition("|")[0] for name in meters if name.endswith(_OUTPUT_ENDS)
        )
        if self._known is None or self._known[0] is not terms or self._known[1] != outputs:
            named = tuple((tap, _name(tap)) for tap in taps(terms, outputs))
            self._known = terms, outputs, named
        for tap, name in self._known[2]:
            if tap.optional and name not in meters:
                continue
            energy = meters.get(name)
            yield tap, None if energy is None else tap.sign * energy


@dataclass(slots=True)
class MeterSums:
    """Energies by flow and meter over quarter hours; days can be merged into months.

    Whole thousandths of a Wh are added, so no order of adding can show.

    Attributes:
        quarters: How many tell all meters of a PUE.
        energies: Their sums by flow, then meter, mWh.
    """

    quarters: int = 0
    energies: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, parts: Iterable[tuple[Tap, float | None]]) -> None:
        """Add a quarter hour; one in which a meter of the PUE is unknown is left out whole."""
        known: list[tuple[str, str, int]] = []
        for tap, energy in parts:
            if tap.flow not in ROLE_OF:
                continue
            if energy is None:
                return
            known.append((tap.flow, tap.device, round(energy * MILLI)))
        self.quarters += 1
        for flow, device, milli in known:
            own = self.energies.setdefault(flow, {})
            own[device] = own.get(device, 0) + milli

    def merge(self, other: "MeterSums") -> None:
        """Add what another one has."""
        self.quarters += other.quarters
        for flow, meters in other.energies.items():
            own = self.energies.setdefault(flow, {})
            for device, milli in meters.items():
                own[device] = own.get(device, 0) + milli

    def over(self, start_ms: int, end_ms: int) -> dict[str, dict[str, float]] | None:
        """Return the energies by flow and meter over a span, Wh.

        Returns:
            ``None`` if too few of the quarter hours within the span tell all of them.
        """
        count = end_ms // QUARTER_MS - -(-start_ms // QUARTER_MS)
        if count <= 0 or self.quarters < REPORTED_COVERAGE * count:
            return None
        return {
            flow: {name: milli / MILLI for name, milli in self.energies.get(flow, {}).items()}
            for flow in ROLE_OF
        }


def meter_sums(quarters: Iterable[tuple[int, str | None]], terms: MeterTerms) -> MeterSums:
    """Return the sums over quarter hours.

    Args:
        quarters: Start and meters of each, as JSON; ``None``: it does not say.
        terms: Of its site.
    """
    found = MeterSums()
    for start, text in quarters:
        if text is not None:
            meters: dict[str, Any] = json.loads(text)
            found.add(terms.read(start, meters))
    return found
