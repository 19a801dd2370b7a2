# SPDX-License-Identifier: Apache-2.0
"""The site file's `power_chain` and `cooling_chain` of a simulated site.

Its losses are those that the world has: what transformers and UPS of all halls lose together is
`UpsSpec`'s no-load and load loss.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10, sqrt
from typing import Any, Final

from rackwatt.twin.devices import PUMPS, row_meter
from rackwatt.twin.spec import HallSpec, RowSpec, TwinSpec
from rackwatt.twin.world.racks import Floor

SIDES: Final = ("a", "b")
SIZES: Final = (
    10, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000,
    1250, 1600, 2000, 2500, 3200, 4000, 5000, 6300,
)  # fmt: skip
"""Usual rated currents (IEC 60059)."""
_TRANSFORMER_PART: Final = 0.35
"""Of the losses; the rest are the UPS's."""
_LOW_VOLTAGE: Final = 4.0e6
"""W; what carries more than that above the busways is not at their voltage."""

Rows = list[dict[str, Any]]


def chains_document(spec: TwinSpec, racks: Floor) -> dict[str, Any]:
    """Both chains, to be put into the site file; empty where the spec wants none."""
    if not spec.feeds.chains:
        return {}
    return {"power_chain": _Power(spec, racks).document(), "cooling_chain": _cooling(spec)}


def size(amperes: float) -> float:
    """The next usual rated current; above the last one, two figures that are enough."""
    place = bisect_left(SIZES, amperes)
    return float(SIZES[place]) if place < len(SIZES) else rounded_up(amperes)


def rounded_up(value: float) -> float:
    """Two significant figures, not below `value`."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return ceil(value / step) * step


class _Power:
    def __init__(self, spec: TwinSpec, racks: Floor) -> None:
        self._spec = spec
        self._feeds = spec.feeds
        largest = racks.largest_rack_power
        self._largest: dict[str, float] = {}
        for rack in racks.racks:
            for name in (rack.id, rack.row, rack.hall):
                self._largest[name] = self._largest.get(name, 0.0) + float(largest[rack.index])
        self._total = float(largest.sum())
        self._assets: Rows = []
        self._edges: Rows = []
        self._groups: Rows = []

    def document(self) -> dict[str, Any]:
        self._assets.append({"id": "utility-[a-b]", "kind": "utility"})
        for hall in self._spec.halls:
            self._hall(hall)
        return {"assets": self._assets, "edges": self._edges, "groups": self._groups}

    def _hall(self, hall: HallSpec) -> None:
        prefix = _prefix(self._spec, hall)
        rating = rounded_up(self._largest[hall.id] * (1.0 + self._feeds.spare_ratio))
        losses = self._losses(hall, rating)
        rated = {"rated_volt_amperes": rating}
        self._assets += [
            {"id": f"{prefix}tr-[a-b]", "kind": "transformer", **rated, **losses[0]},
            {"id": f"{prefix}board-[a-b]", "kind": "board"},
            {"id": f"{prefix}ups-[a-b]", "kind": "ups", "group": f"{prefix}ups", **rated,
             **losses[1]},
        ]  # fmt: skip
        self._groups.append({"id": f"{prefix}ups", "needed": 1})
        limit = {"watts": rating, "derating": 1.0}
        if rating < _LOW_VOLTAGE:
            limit["volts"] = self._feeds.volts
        levels = ("tr", "board", "ups")
        if self._feeds.gensets:
            self._assets.append({"id": f"{prefix}genset-[a-b]", "kind": "genset"})
        for side in SIDES:
            names = [f"utility-{side}", *(f"{prefix}{level}-{side}" for level in levels)]
            for above, below in pairwise(names):
                edge = {"from": above, "to": below, **limit}
                if above == f"utility-{side}":
                    edge["side"] = side.upper()
                self._edges.append(edge)
            if self._feeds.gensets:
                self._edges.append({"from": f"{prefix}genset-{side}", "to": names[2], **limit,
                                    "side": side.upper(), "standby": True})  # fmt: skip
        self._busways(hall, prefix)

    def _losses(self, hall: HallSpec, rating: float) -> tuple[dict[str, float], dict[str, float]]:
        """P0 and Pk of transformer and UPS of one side."""
        ups = self._spec.ups
        whole = (ups.rated_watts or 1.3 * self._total) * self._largest[hall.id] / self._total
        none = whole * ups.no_load_ratio / 2.0
        load = 2.0 * ups.load_ratio * rating**2 / whole
        parts = (_TRANSFORMER_PART, 1.0 - _TRANSFORMER_PART)
        first, second = (
            {
                "no_load_loss_watts": float(round(none * part)),
                "load_loss_watts": float(round(load * part)),
            }
            for part in parts
        )
        return first, second

    def _busways(self, hall: HallSpec, prefix: str) -> None:
        by_rating: dict[float, list[RowSpec]] = {}
        for row in hall.rows:
            given = row.feeds.busway_amperes or self._feeds.busway_amperes
            by_rating.setdefault(given or self._size(row.id), []).append(row)
        self._assets += [{"id": f"{row.id}-busway-[a-b]", "kind": "busway"} for row in hall.rows]
        metered = hall.metering == "row" and self._feeds.side_meters
        for side in SIDES:
            for amperes, rows in by_rating.items():
                names = [row_meter(row.id, side) for row in rows]
                edge = {
                    "from": f"{prefix}ups-{side}",
                    "to": names if len(names) > 1 else names[0],
                    **self._rating(amperes),
                }
                self._edges.append({**edge, "meter": "{to}"} if metered else edge)
            for row in hall.rows:
                self._edges.append(self._racks(row, side))

    def _racks(self, row: RowSpec, side: str) -> dict[str, Any]:
        """To the PDUs that answer; a rack without one has no rating and no meter of its own."""
        busway = row_meter(row.id, side)
        if row.id not in self._spec.served_rows:
            return {"from": busway, "to": row.racks, "volts": self._feeds.volts}
        given = row.feeds.rack_amperes or self._feeds.rack_amperes
        amperes = given or self._size(row.rack_ids[0])
        target = f"{row.racks}-pdu-{side}"
        return {"from": busway, "to": target, **self._rating(amperes), "meter": "{to}"}

    def _size(self, name: str) -> float:
        """Enough for all that hangs on it, were the other side gone and the phases even."""
        continuous = self._largest[name] / self._feeds.volts / sqrt(3.0)
        return size(continuous / self._feeds.derating)

    def _rating(self, amperes: float) -> dict[str, float]:
        return {"amperes": amperes, "volts": self._feeds.volts, "derating": self._feeds.derating}


def _prefix(spec: TwinSpec, hall: HallSpec) -> str:
    return f"{hall.id}-" if len(spec.halls) > 1 else ""


def _short(names: Sequence[str]) -> Any:
    """As it is written in the file: one name without a list."""
    return list(names) if len(names) > 1 else names[0]


def _cooling(spec: TwinSpec) -> dict[str, Any]:
    feeds = spec.feeds
    assets: Rows = []
    edges: Rows = []
    groups: Rows = []
    for hall in spec.halls:
        prefix = _prefix(spec, hall)
        header = f"{prefix}loop"
        chillers = f"{prefix}chiller-[1-{feeds.chillers}]"
        assets.append({"id": chillers, "kind": "chiller", "group": f"{prefix}chillers"})
        assets.append({"id": header, "kind": "header", "common": True})
        needed = min(feeds.chillers_needed, feeds.chillers)
        groups.append({"id": f"{prefix}chillers", "needed": needed})
        for number in range(1, feeds.chillers + 1):
            edges.append({"from": f"{prefix}chiller-{number}", "to": header})
        units: Sequence[str] = hall.cdus or (f"{prefix}crah",)
        pumps = {"pumps": round(PUMPS), "pumps_needed": 1} if hall.cdus else {}
        kind = "cdu" if hall.cdus else "crah"
        assets += [{"id": unit, "kind": kind, **pumps} for unit in units]
        edges.append({"from": header, "to": _short(units)})
        for i, unit in enumerate(units[: len(hall.rows)]):
            rows = [row.racks for row in hall.rows[i :: len(units)]]
            edges.append({"from": unit, "to": _short(rows)})
    masses = {
        "coolant_kilograms": feeds.coolant_kilograms,
        "metal_kilograms": feeds.metal_kilograms,
        "limit_celsius": feeds.limit_celsius,
    }
    return {
        "assets": assets,
        "edges": edges,
        "groups": groups,
        "thermal_mass": [{"racks": [row.racks for row in spec.rows], **masses}],
    }
