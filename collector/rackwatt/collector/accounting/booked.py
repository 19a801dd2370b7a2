# SPDX-License-Identifier: Apache-2.0
"""A booked interval as key figures read it, whatever it was stored as."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rackwatt.collector.accounting.cfe import met_by_own
from rackwatt.collector.accounting.masses import Masses
from rackwatt.collector.accounting.vocabulary import GENERATION, total


@dataclass(frozen=True, slots=True)
class BookedInterval:
    """One interval, booked. Energies in Wh, masses in g; ``None`` = unknown.

    Attributes:
        start_ms: Its first instant, ms since 1970 UTC.
        end_ms: The first instant after it.
        revision: Of the row.
        restated: It was booked again, and that was not foreseen.
        sources: ``pv``, ``wind``, ``hydro``, ``grid`` (import), ``genset``; a missing key = no such
            flow.
        sinks: ``it``, ``cooling``, ``losses``, ``other``, ``campus``, ``export``.
        charge: Into the battery, at its terminals.
        discharge: Out of it, at its terminals.
        load: The data center's consumption.
        it: Its IT's.
        boundary: ``E_DC``.
        residual: Sources minus sinks.
        residual_uncertainty: Its standard uncertainty.
        losses_in_model: A model says what transformers and lines lose that no meter sees.
        losses_modelled: What it says; 0 without one.
        unmetered: The residual as a sink.
        unknown: The residual as a source.
        beyond: Discharge that the stock did not hold.
        origins: The load by origin, battery traced back.
        carbon: Mass of the load by series.
        scope_2: Gross import at the direct factor.
        carbon_free: Carbon-free part of the load.
        exported: Export by origin; empty without export.
        stock: What the battery holds at the end.
        battery_carbon: Mass in it by series.
        stock_change: Change of the stock.
        completeness: Known part of the flows, 0..1.
        flags: What is odd, and how it was metered.
        pue_category: Of the IT meters.
        ups_open: A UPS is discharging, or not recharged yet.
        claims: What each contract's plant gave.
        grid_direct: The grid's direct factor, g/kWh.
        grid_carbon_free: The grid's carbon-free part, 0..1.
        water: Litres taken in by source: ``fresh``, ``reclaimed``, ``rain``; and ``discharge``,
            given back; a missing key = no meter of it, which is unknown too.
        heat_metered: Heat that is used outside has a meter.
        heat_reused: What it says, Wh.
    """

    start_ms: int
    end_ms: int
    revision: int = 1
    restated: bool = False
    sources: Mapping[str, float | None] = field(default_factory=dict)
    sinks: Mapping[str, float | None] = field(default_factory=dict)
    charge: float | None = 0.0
    discharge: float | None = 0.0
    load: float | None = None
    it: float | None = None
    boundary: float | None = None
    residual: float | None = None
    residual_uncertainty: float | None = None
    losses_in_model: bool = False
    losses_modelled: float | None = 0.0
    unmetered: float | None = 0.0
    unknown: float | None = 0.0
    beyond: float = 0.0
    origins: Mapping[str, float] | None = None
    carbon: Masses = field(default_factory=dict)
    scope_2: float | None = None
    carbon_free: float | None = None
    exported: Mapping[str, float] | None = None
    stock: float = 0.0
    battery_carbon: Masses = field(default_factory=dict)
    stock_change: float | None = None
    completeness: float = 1.0
    flags: frozenset[str] = frozenset()
    pue_category: int | None = None
    ups_open: bool = False
    claims: Mapping[str, float | None] = field(default_factory=dict)
    grid_direct: float | None = None
    grid_carbon_free: float | None = None
    water: Mapping[str, float | None] = field(default_factory=dict)
    heat_metered: bool = False
    heat_reused: float | None = None

    @property
    def milliseconds(self) -> int:
        """How long it is."""
        return self.end_ms - self.start_ms

    @property
    def production(self) -> float | None:
        """Own generation at its output."""
        return total([self.sources[name] for name in GENERATION if name in self.sources])

    @property
    def supplied(self) -> float | None:
        """All that came onto the bus by its meters, discharge included."""
        return total([*self.sources.values(), self.discharge])

    @property
    def after_losses(self) -> float | None:
        """What of the residual no model explains."""
        lost = None if self.losses_modelled is None else -self.losses_modelled
        return total((self.residual, lost))

    @property
    def external(self) -> float | None:
        """``E_DC`` with the battery outside: its losses are no overhead, what it took is gone."""
        taken = None if self.charge is None else -self.charge
        return total((self.boundary, self.stock_change, taken, self.discharge))

    @property
    def met_by_own(self) -> float | None:
        """Carbon-free energy in the load, without the direct import's part."""
        supplied = total((self.supplied, self.unknown or 0.0))
        part = None
        if supplied is not None and supplied > 0.0:
            part = (self.sources.get("grid") or 0.0) / supplied
        return met_by_own(
            load=self.load,
            origins=self.origins,
            carbon_free=self.carbon_free,
            grid_part=part,
            discharge=self.discharge,
            grid_carbon_free=self.grid_carbon_free,
        )

    def kept(self, source: str) -> float | None:
        """Return what an own source gave that was not exported."""
        given = self.sources.get(source, 0.0)
        if given is None or self.exported is None:
            return None
        return given - self.exported.get(source, 0.0)

    def kept_mass(self, source: str) -> float | None:
        """Return the same at the grid's direct factor, g."""
        energy = self.kept(source)
        if energy == 0.0:
            return 0.0
        if energy is None or self.grid_direct is None:
            return None
        return energy * self.grid_direct / 1000.0
