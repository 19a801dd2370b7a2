# SPDX-License-Identifier: Apache-2.0
"""What key figures need besides booked intervals: a site's rules, and what outsiders told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rackwatt.collector.accounting.claims import HourMatch
from rackwatt.collector.accounting.fuels import FuelLine, FuelUse
from rackwatt.collector.accounting.keyfigures import REPORTED_COVERAGE
from rackwatt.collector.accounting.market import Certificate
from rackwatt.collector.accounting.pue_meters import PueMeters


@dataclass(frozen=True, slots=True)
class Rules:
    """What a site's file says of its figures.

    Attributes:
        attributes: ``retained``, ``sold`` or ``unissued`` by source; not named is retained.
        residual_factor: The published residual mix, g/kWh.
        contracts: Contract to its claim: ``ppa_pv``, ...
        residual_limit_ratio: Part of a month's sources that its summed residual may reach.
        certificates: Retired or not.
        export_cap_ratio: What the law allows to be sold of the own production.
        coverage: Below it a figure is null.
        meters: The meters behind the PUE.
        genset_direct: Direct factor of the genset, g/kWh, where nobody counts its fuel.
        fuel_factors: g CO2e per litre, m3 or kg, by fuel.
        fuel: What gensets burnt, as documents say.
    """

    attributes: Mapping[str, str] = field(default_factory=dict)
    residual_factor: float | None = None
    contracts: Mapping[str, str] = field(default_factory=dict)
    residual_limit_ratio: float = 0.002
    certificates: Sequence[Certificate] = ()
    export_cap_ratio: float | None = None
    coverage: float = REPORTED_COVERAGE
    meters: PueMeters = field(default_factory=PueMeters)
    genset_direct: float | None = None
    fuel_factors: Mapping[str, float] = field(default_factory=dict)
    fuel: Sequence[FuelLine] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """What a period's figures need besides its intervals; ``None`` = unknown.

    Attributes:
        start_ms: Where the period begins; absent: with its first interval.
        end_ms: Where it ends; absent: with its last interval. What is not booked between them is
            unknown and lowers the coverage.
        ups_open_before: When it began a UPS was discharging, or not recharged.
        whole_hours: Matches of the whole hours of which it holds only a part.
        water_liters: Fresh water, where no meter of it is booked.
        reused_watt_hours: Heat used outside the data center, where no meter of it is booked.
        fuels: What gensets burnt, before all that the rules say; empty: nobody told.
        by_meter: Energies by flow and physical meter, for the uncertainty of the PUE.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    ups_open_before: bool = False
    whole_hours: Mapping[int, HourMatch] | None = None
    water_liters: float | None = None
    reused_watt_hours: float | None = None
    fuels: Sequence[FuelUse] = ()
    by_meter: Mapping[str, Mapping[str, float]] | None = None
