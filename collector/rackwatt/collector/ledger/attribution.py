# SPDX-License-Identifier: Apache-2.0
"""Quarter hours of the ledger down the tree: halls, racks, nodes, GPUs and tenants.

Of each quarter hour the journal keeps halls, racks, tenants and the energies of the meters behind
the flows; nodes and GPUs are computed by the same functions when somebody asks. A quarter hour is
split where an assignment changes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any, Final

from rackwatt.collector.accounting.attribution import Amount
from rackwatt.collector.accounting.burdens import FIGURES, Values
from rackwatt.collector.accounting.tenants import OPERATOR, Holding, holdings, within
from rackwatt.collector.accounting.vocabulary import ORIGINS, total
from rackwatt.collector.ledger.conditions import CONDITIONS, Conditions
from rackwatt.collector.ledger.counters import Counters
from rackwatt.collector.ledger.descent import Closed, Descent, Quarter, it_of
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.places import MeterBooks, RackPlace
from rackwatt.collector.ledger.samples import Samples
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import Rack

GPUS_UNKNOWN: Final = "gpus_unknown"
_NOT_KNOWN: Final[Values] = (None,) * len(FIGURES)


@dataclass(slots=True)
class _Account:
    """What a tenant is given, piece by piece; ``None`` pieces make the sum unknown."""

    it: list[float | None] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    gpu_hours: list[float] = field(default_factory=list)

    def as_row(self) -> dict[str, Any]:
        it = total(self.it)
        columns = zip(*self.values, strict=True) if self.values else [()] * len(_NOT_KNOWN)
        sums = [total(column) for column in columns]
        overhead = None if it is None or sums[0] is None else sums[0] - it
        figures = _figures(sums)
        return {"it": it, "overhead": overhead, **figures, "gpu_hours": fsum(self.gpu_hours)}


class Attributor:
    """Attributes quarter hours of one site.

    Characteristics: reads the ledger's inputs and counters on the ledger's thread, inside its
    transaction; keeps nothing but what it gathered of the site file.

    Args:
        site: The site.
        meters: What was measured.
        counters: The GPUs' counters.
        closed: Up to where intervals are closed: hours before it are metered as a whole.
        samples: Of the conditions; ``None``: rows are formed without them.
    """

    def __init__(
        self,
        site: Site,
        meters: MeterBooks,
        counters: Counters,
        closed: Closed,
        samples: Samples | None = None,
    ) -> None:
        self._site = site
        self._descent = Descent(site, meters, counters, closed)
        self._conditions = None if samples is None else Conditions(site, samples)
        self._people = {tenant.id: (tenant.kind, tenant.country) for tenant in site.tenants}

    def row(self, quarter_start_ms: int, rows: Sequence[LedgerRow]) -> dict[str, Any] | None:
        """Return the row of a quarter hour: halls, racks and tenants; ``None`` without intervals.

        Args:
            quarter_start_ms: Its start (UTC).
            rows: The latest revisions of its intervals, in order.
        """
        if not rows:
            return None
        quarter = self._descent.quarter(quarter_start_ms, rows)
        accounts: dict[str, _Account] = {OPERATOR: _Account()}
        halls = self._descent.halls(quarter, rows)
        racks: dict[str, list[float | None]] = {}
        hall_rows: dict[str, list[tuple[float | None, Values]]] = {}
        for hall, amount, inside in halls:
            hall_rows.setdefault(hall.id, []).append(_valued(quarter, amount, hall.bus))
            for place, own in inside:
                if place is None:
                    self._give(accounts, quarter, hall.bus, own, [], 0)
                    continue
                it, values = _valued(quarter, own, hall.bus)
                racks[place.id] = [it, values[1], values[2]]
                self._give_rack(accounts, quarter, hall.bus, place.rack, own)
        accounts[OPERATOR].values.append(quarter.carried.stranded)
        load = total(row.data["load"] for row in rows)
        it = total(row.data["it"] for row in rows)
        if not halls:
            self._give(accounts, quarter, "", it_of(rows), [], 0)
        known = [it, load, *(rack[0] for rack in racks.values())]
        conditions = None
        if self._conditions is not None:
            conditions = self._conditions.of(rows[0].start_ms, rows[-1].end_ms)
        return {
            "load": load,
            "it": it,
            "overhead": None if it is None or load is None else load - it,
            "halls": {name: _hall_row(parts) for name, parts in hall_rows.items()},
            "racks": racks,
            "tenants": {name: self._tenant(name, own) for name, own in accounts.items()},
            "meters": self._descent.meters(quarter),
            "completeness": sum(value is not None for value in known) / len(known),
            "flags": sorted(quarter.flags),
            **({} if conditions is None else {CONDITIONS: conditions}),
        }

    def tree(
        self,
        quarter_start_ms: int,
        rows: Sequence[LedgerRow],
        racks: Collection[str] | None = None,
    ) -> dict[str, Any] | None:
        """Return a quarter hour down to nodes and GPUs, as nested places.

        Args:
            quarter_start_ms: Its start (UTC).
            rows: The latest revisions of its intervals, in order.
            racks: The racks to go into; ``None``: all.
        """
        if not rows:
            return None
        quarter = self._descent.quarter(quarter_start_ms, rows)
        halls = []
        for hall, amount, inside in self._descent.halls(quarter, rows):
            children = [
                _place(
                    quarter,
                    "rack" if place is not None else "other",
                    place.id if place is not None else hall.id,
                    hall.bus,
                    own,
                    self._node_rows(quarter, hall.bus, place, own, racks),
                )
                for place, own in inside
            ]
            halls.append(_place(quarter, "hall", hall.id, hall.bus, amount, children))
        whole = _place(quarter, "site", self._site.id, "", it_of(rows), halls)
        return {**whole, "flags": sorted(quarter.flags)}

    def _node_rows(
        self,
        quarter: Quarter,
        bus: str,
        place: RackPlace | None,
        amount: Amount | None,
        racks: Collection[str] | None,
    ) -> list[dict[str, Any]]:
        if place is None or (racks is not None and place.id not in racks):
            return []
        return [
            _place(
                quarter,
                "node",
                node.id,
                bus,
                node.amount,
                [_place(quarter, "gpu", uuid, bus, own, []) for uuid, own in node.gpus],
            )
            for node in self._descent.nodes(quarter, place.rack, amount)
        ]

    def _give_rack(
        self,
        accounts: dict[str, _Account],
        quarter: Quarter,
        bus: str,
        rack: Rack,
        amount: Amount | None,
    ) -> None:
        """Give a rack to those who hold it or parts of it."""
        held = quarter.held
        whole = list(held.racks.get(rack.id, ()))
        if not held.below(rack):
            counts = [len(self._descent.uuids(quarter, node)) for node in rack.nodes]
            if whole and not all(counts):
                quarter.flags.add(GPUS_UNKNOWN)
            self._give(accounts, quarter, bus, amount, whole, sum(counts))
            return
        for node in self._descent.nodes(quarter, rack, amount):
            own = [*whole, *held.nodes.get(node.id, ())]
            gpus = held.gpus.get(node.id)
            if own and not node.gpus:
                quarter.flags.add(GPUS_UNKNOWN)
            if gpus is None:
                self._give(accounts, quarter, bus, node.amount, own, len(node.gpus))
                continue
            for uuid, part in node.gpus:
                self._give(accounts, quarter, bus, part, [*own, *gpus.get(uuid, ())], 1)

    def _give(
        self,
        accounts: dict[str, _Account],
        quarter: Quarter,
        bus: str,
        amount: Amount | None,
        given: Sequence[Holding],
        gpus: int,
    ) -> None:
        """Give a place to its holders, each for the time that they hold it."""
        first, end = quarter.boundaries[0], quarter.end_ms
        for holding in holdings(given, first, end):
            account = accounts.setdefault(holding.tenant, _Account())
            account.gpu_hours.append(gpus * holding.hours)
            if amount is None:
                account.it.append(None)
                account.values.append(_NOT_KNOWN)
                continue
            course = amount.course
            if (holding.start_ms, holding.end_ms) != (first, end):
                part = within(quarter.boundaries, holding.start_ms, holding.end_ms)
                course = tuple(e * f for e, f in zip(course, part, strict=True))
            account.it.append(amount.factor * fsum(course))
            account.values.append(quarter.carried.of(course, amount.factor, bus))

    def _tenant(self, name: str, account: _Account) -> dict[str, Any]:
        kind, country = self._people.get(name, ("operator", self._site.country))
        return {**account.as_row(), "kind": kind, "country": country}


def _valued(quarter: Quarter, amount: Amount | None, bus: str) -> tuple[float | None, Values]:
    if amount is None:
        return None, _NOT_KNOWN
    return amount.watt_hours, quarter.carried.of(amount.course, amount.factor, bus)


def _hall_row(parts: Sequence[tuple[float | None, Values]]) -> dict[str, Any]:
    sums = [total(column) for column in zip(*(values for _, values in parts), strict=True)]
    return {"it": total(it for it, _ in parts), **_figures(sums)}


def _figures(values: Sequence[float | None]) -> dict[str, Any]:
    load, life_cycle, operational, *origins, carbon_free = values
    known = [value for value in origins if value is not None]
    return {
        "load": load,
        "carbon": {"life_cycle": life_cycle, "operational": operational},
        "origins": dict(zip(ORIGINS, known, strict=True)) if len(known) == len(ORIGINS) else None,
        "carbon_free": carbon_free,
    }


def _place(
    quarter: Quarter,
    level: str,
    name: str,
    bus: str,
    amount: Amount | None,
    children: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    it, values = _valued(quarter, amount, bus)
    return {"level": level, "name": name, "it": it, **_figures(values), "children": children}
