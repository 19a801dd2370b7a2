# SPDX-License-Identifier: Apache-2.0
"""What the books of one interval hold."""

from collections.abc import Mapping
from typing import NamedTuple

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.masses import Masses


class BusAccount(NamedTuple):
    """One of several buses in one interval.

    Attributes:
        load: The data center's consumption on it, Wh.
        shares: What the energy on it is made of, battery and ties traced back; sums to 1.
        intensity: Its carbon intensity, g/kWh.
        residual: What comes in less what goes out, ties included, Wh.
        unmetered: The residual as a sink, >= 0.
        unknown: The residual as a source, >= 0.
    """

    load: float | None
    shares: Mapping[str, float] | None
    intensity: Masses
    residual: float | None
    unmetered: float
    unknown: float


class IntervalAccount(NamedTuple):
    """One interval, booked. Energies in Wh, masses in g, intensities in g/kWh.

    Attributes:
        load: Consumption of the data center: IT, cooling, losses, other.
        it: Consumption of the IT load.
        boundary: ``E_DC``, the numerator of the PUE: with battery losses and what is unmetered.
        residual: Sources minus sinks.
        residual_ratio: Residual as a part of the sources, signed.
        unmetered: The residual as a sink, >= 0.
        unknown: The residual as a source, >= 0.
        shares: Origin of the data center's consumption with the battery traced back; sums to 1.
            ``None`` without a load or when it cannot be known.
        origins: The same in Wh.
        intensity: Carbon intensity of the bus, so of every consumer on it.
        carbon: Mass caused by the data center's consumption.
        scope_2: Gross import at the grid's direct factor, location-based; not traced.
        battery: The battery's state at the end.
        stock_change: Change of what the battery holds, self-discharge and drift included.
        beyond: Discharge that the stock did not hold (part of origin ``unknown``).
        losses: Battery losses by origin.
        charged: Carbon that entered the battery.
        discharged: Carbon that left it.
        completeness: Known part of the flows, 0..1.
        flags: What is odd, sorted.
        carbon_free: The carbon-free part of the load, Wh: own renewable energy and the grid's
            carbon-free part when it was imported, battery traced back.
        grid_factors: The grid's ``life_cycle`` and ``direct`` factor and its ``carbon_free`` part.
        buses: The single buses of a site that has several, by name.
        residual_after_losses: The residual less what a model says is lost unmetered; ``None``: the
            site has no such model, or it is unknown.
    """

    load: float | None
    it: float | None
    boundary: float | None
    residual: float | None
    residual_ratio: float | None
    unmetered: float
    unknown: float
    shares: Mapping[str, float] | None
    origins: Mapping[str, float] | None
    intensity: Masses
    carbon: Masses
    scope_2: float | None
    battery: BatteryState
    stock_change: float | None
    beyond: float
    losses: Mapping[str, float]
    charged: Masses
    discharged: Masses
    completeness: float
    flags: tuple[str, ...]
    carbon_free: float | None
    grid_factors: Mapping[str, float | None]
    buses: Mapping[str, BusAccount]
    residual_after_losses: float | None = None
