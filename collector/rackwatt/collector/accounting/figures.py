# SPDX-License-Identifier: Apache-2.0
"""The figures of a period, each with the part of the period that it covers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rackwatt.collector.accounting.export import ExportRatio
from rackwatt.collector.accounting.keyfigures import SIGNED_COVERAGE, Shares
from rackwatt.collector.accounting.market import Market
from rackwatt.collector.accounting.vocabulary import SERIES, WATER_OUT, Series, total

_SINK_NAMES: Final = {"campus": "campus", "export": "grid_export"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        value: ``None`` if it is unknown, or known for too little of the period.
        coverage: Part of the period in which all its terms are known, 0..1.
        known: What it is over just that part, however little; ``None`` if that is nothing.
    """

    value: float | None
    coverage: float
    known: float | None

    @property
    def signable(self) -> bool:
        """Whether it is known for enough of the period to be signed."""
        return self.value is not None and self.coverage >= SIGNED_COVERAGE


def figure(value: float | None, coverage: float, minimum: float) -> Figure:
    """Return a figure, its value withheld below a minimum of coverage."""
    return Figure(value if coverage >= minimum else None, coverage, value)


@dataclass(frozen=True, slots=True)
class PeriodPue:
    """The PUE of a period.

    Attributes:
        value: ``None`` with a reason.
        external: With the battery outside of the boundary.
        category: 1 = IT metered at the UPS output, 2 = PDU output, 3 = IT equipment input; the
            weakest there is; ``None`` if a meter does not say where it sits.
        interim: The period is shorter than a year.
        coverage: Part of the period in which both terms are known, 0..1.
        reason: ``ups_on_battery``, ``coverage``, ``no_it_load`` or ``below_one`` (the meters
            contradict each other: no data center takes in less than its IT); ``None`` with a value.
        uncertainty: Expanded, k = 2; ``None`` if it cannot be said.
    """

    value: float | None
    external: float | None
    category: int | None
    interim: bool
    coverage: float
    reason: str | None
    uncertainty: float | None

    @property
    def signable(self) -> bool:
        """Whether it is known for enough of the period to be signed."""
        return self.value is not None and self.coverage >= SIGNED_COVERAGE


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """All figures of a period. Energies in Wh, masses in g, intensities in g/kWh.

    Attributes:
        start_ms: Where the period begins, ms since 1970 UTC.
        end_ms: Where it ends.
        intervals: How many intervals it holds.
        restated: How many of them were booked again; that an hour closes is foreseen.
        completeness: Known part of the flows, 0..1; what was never booked counts as unknown.
        flags: In how many intervals each flag stands.
        sources: By name: what its meters say.
        sinks: By name.
        charge: Into the battery.
        discharge: Out of it.
        stock_change: Change of what it holds.
        load: The data center's consumption.
        it: Its IT's.
        boundary: ``E_DC``.
        unmetered: Residuals as a sink.
        unknown: Residuals as a source.
        beyond: Discharge that the stock did not hold.
        residual: Sum of the signed residuals.
        residual_ratio: The same over the sources.
        residual_month_flag: It is beyond the site's limit after modelled losses, and a day or more
            is in.
        pue: The PUE and what belongs to it.
        shares: Of the data center's consumption.
        shares_coverage: Part of the period in which the origins are known.
        origins: The consumption by origin.
        carbon: Mass of the consumption by series.
        intensity: Its intensity by series.
        cue: kg CO2e per kWh of IT by series.
        scope_1: Mass by what the genset burnt.
        scope_2_location: Mass, location-based.
        scope_2_market: Mass, market-based, under the standard in force.
        scope_2_proposed: Mass, market-based, matched hour by hour as proposed; never signed.
        market: What the market-based mass is made of; its note says ``no residual mix available``.
        ref: Renewable energy factor.
        erf: Energy reuse factor.
        wue: Water usage effectiveness, L/kWh.
        cfe_ratio: Hourly carbon-free energy score.
        matched: Import that contracts cover.
        surplus: What contracts gave beyond the import.
        matched_by_contract: The first by contract.
        export: Export over own production, and the legal cap.
        water: Litres by source; a source without a meter is not there.
        water_discharge: Litres given back; ``None``: they have no meter.
        heat_reused: Heat used outside; ``None``: it has no meter.
        losses_modelled: What transformers and lines lost that no meter sees; ``None``: the site
            names none.
        after_losses: The residual without that; ``None`` likewise.
        after_losses_ratio: The same over the sources.
    """

    start_ms: int
    end_ms: int
    intervals: int
    restated: int
    completeness: float | None
    flags: Mapping[str, int]
    sources: Mapping[str, Figure]
    sinks: Mapping[str, Figure]
    charge: Figure
    discharge: Figure
    stock_change: Figure
    load: Figure
    it: Figure
    boundary: Figure
    unmetered: Figure
    unknown: Figure
    beyond: Figure
    residual: Figure
    residual_ratio: Figure
    residual_month_flag: bool
    pue: PeriodPue
    shares: Shares
    shares_coverage: float
    origins: Mapping[str, Figure]
    carbon: Mapping[Series, Figure]
    intensity: Mapping[Series, Figure]
    cue: Mapping[Series, Figure]
    scope_1: Figure
    scope_2_location: Figure
    scope_2_market: Figure
    scope_2_proposed: Figure
    market: Market
    ref: Figure
    erf: Figure
    wue: Figure
    cfe_ratio: Figure
    matched: Figure
    surplus: Figure
    matched_by_contract: Mapping[str, float]
    export: ExportRatio
    water: Mapping[str, Figure] = field(default_factory=dict)
    water_discharge: Figure | None = None
    heat_reused: Figure | None = None
    losses_modelled: Figure | None = None
    after_losses: Figure | None = None
    after_losses_ratio: Figure | None = None

    @property
    def water_liters(self) -> float | None:
        """Water of all sources; ``None`` without any meter, or if one is unknown."""
        return total([one.value for one in self.water.values()]) if self.water else None

    @property
    def _waters(self) -> Mapping[str, Figure]:
        """Water by source and what is given back, as far as it has meters."""
        if self.water_discharge is None:
            return self.water
        return {**self.water, WATER_OUT: self.water_discharge}

    @property
    def signable(self) -> bool:
        """Whether enough of the period is known for its figures to be signed."""
        signed = (self.load, self.boundary, self.it, self.scope_2_location, self.scope_2_market)
        return (
            self.pue.signable
            and self.shares_coverage >= SIGNED_COVERAGE
            and all(one.signable for one in signed)
        )

    def flat(self) -> dict[str, float | None]:
        """Return every number under a name that ends in its unit; ``None`` = unknown."""
        shares = self.shares
        return {
            **self._energies(),
            **self._masses(),
            **self._explained(),
            "pue_ratio": self.pue.value,
            "pue_external_ratio": self.pue.external,
            "pue_uncertainty_ratio": self.pue.uncertainty,
            "pue_coverage_ratio": self.pue.coverage,
            "pue_category": self.pue.category,
            "renewable_share_ratio": shares.renewable,
            "renewable_claimable_share_ratio": shares.renewable_claimable,
            "grid_share_ratio": shares.grid,
            "on_site_share_ratio": shares.on_site,
            "carbon_free_share_ratio": shares.carbon_free,
            "carbon_share_ratio": shares.carbon,
            "contracted_share_ratio": shares.contracted,
            "unknown_share_ratio": shares.unknown,
            "shares_coverage_ratio": self.shares_coverage,
            "renewable_energy_factor_ratio": self.ref.value,
            "erf_ratio": self.erf.value,
            "heat_reused_watt_hours": None if self.heat_reused is None else self.heat_reused.value,
            "wue_liters_per_kilowatt_hour": self.wue.value,
            "water_liters": self.water_liters,
            **{f"water_{source}_liters": one.value for source, one in self._waters.items()},
            "carbon_free_energy_score_ratio": self.cfe_ratio.value,
            "export_ratio": self.export.ratio,
            "residual_ratio": self.residual_ratio.value,
            "completeness_ratio": self.completeness,
            "restated_intervals": float(self.restated),
        }

    def _explained(self) -> dict[str, float | None]:
        """What a model explains of the residual, on a site that has one."""
        found = {
            "losses_modelled_watt_hours": self.losses_modelled,
            "residual_after_losses_watt_hours": self.after_losses,
            "residual_after_losses_ratio": self.after_losses_ratio,
        }
        return {name: one.value for name, one in found.items() if one is not None}

    def _energies(self) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for name, one in self.sources.items():
            found[f"source_{name}_watt_hours"] = one.value
        for name, one in self.sinks.items():
            found[f"{_SINK_NAMES.get(name, f'load_{name}')}_watt_hours"] = one.value
        for name, one in self.origins.items():
            found[f"origin_{name}_watt_hours"] = one.value
        plain = {
            "battery_charge": self.charge,
            "battery_discharge": self.discharge,
            "battery_stock_change": self.stock_change,
            "load": self.load,
            "boundary": self.boundary,
            "unmetered": self.unmetered,
            "unknown": self.unknown,
            "beyond_stock": self.beyond,
            "residual": self.residual,
            "matched": self.matched,
            "surplus": self.surplus,
        }
        return found | {f"{name}_watt_hours": one.value for name, one in plain.items()}

    def _masses(self) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for series in SERIES:
            found[f"carbon_{series}_grams"] = self.carbon[series].value
            found[f"carbon_intensity_{series}_grams_per_kilowatt_hour"] = self.intensity[
                series
            ].value
            found[f"carbon_usage_{series}_kilograms_per_kilowatt_hour"] = self.cue[series].value
        return found | {
            "scope_1_grams": self.scope_1.value,
            "scope_2_location_grams": self.scope_2_location.value,
            "scope_2_market_grams": self.scope_2_market.value,
            "scope_2_market_proposed_grams": self.scope_2_proposed.value,
        }
