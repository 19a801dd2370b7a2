# SPDX-License-Identifier: Apache-2.0
"""What the books need of a site, and how a site file's words become parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.channels import TermsLike
from rackwatt.collector.accounting.factors import FactorTable, Scope, SiteFactors, shipped
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.ledger.records import MINIMUM_CADENCE_MS
from rackwatt.collector.site import Site


class MeterLike(Protocol):
    """One metering point."""

    @property
    def cadence_seconds(self) -> float:
        """How often it is read."""

    @property
    def accuracy(self) -> float:
        """Its class, percent."""

    @property
    def transformer_class(self) -> float:
        """Class of its transformers, percent; 0: none, or included."""

    @property
    def calibration_group(self) -> str:
        """Which meters it shares a calibration with."""

    @property
    def parent(self) -> str:
        """The meter that feeds it, empty if none is named."""


class SiteBooks(Protocol):
    """The part of a site that the books use."""

    def terms_at(self, time_ms: int) -> TermsLike:
        """What each role is made of, as physical meters with signs."""

    def meters_at(self, time_ms: int) -> Mapping[str, Any]:
        """Meters by name, each a :class:`MeterLike`."""

    @property
    def contracts(self) -> Sequence[Any]:
        """Claims on the import, each with ``id``, ``meter`` and ``validity.holds(time_ms)``."""

    @property
    def modelled_losses(self) -> Sequence[LossModel]:
        """Transformers and lines whose losses no meter sees."""

    @property
    def utilities(self) -> Sequence[Any]:
        """Meters of water and of reused heat, each a :class:`..site.topology.Utility`."""


def cadence_ms(site: SiteBooks, device: str, time_ms: int) -> int:
    """Return how often a device is read, ms; not less than what is always interpolated."""
    meter = site.meters_at(time_ms).get(device)
    if meter is None:
        meter = next((one for one in site.utilities if one.id == device), None)
    stated = 0 if meter is None else round(meter.cadence_seconds * 1000)
    return max(stated, MINIMUM_CADENCE_MS)


def site_factors(site: Site, table: FactorTable | None = None) -> SiteFactors:
    """Return the factors of a site: what its file gives, over the shipped table.

    The table keeps the years, so that a row of 2023 has the factor of 2023.
    """
    overrides: dict[str, dict[Scope, float]] = {}
    for name, factor in site.carbon.factors.items():
        own: dict[Scope, float] = {}
        if factor.life_cycle is not None and not factor.life_cycle.shipped:
            own["life_cycle"] = factor.life_cycle.value
        if factor.direct is not None and not factor.direct.shipped:
            own["direct"] = factor.direct.value
        if own:
            overrides[name] = own
    free = site.carbon.grid_carbon_free
    initial: dict[Scope, float] = {}
    if site.battery is not None and site.battery.initial_life_cycle is not None:
        initial["life_cycle"] = site.battery.initial_life_cycle
    if site.battery is not None and site.battery.initial_direct is not None:
        initial["direct"] = site.battery.initial_direct
    return SiteFactors(
        table=shipped() if table is None else table,
        country=site.country or "",
        overrides=overrides,
        grid_carbon_free_ratio=None if free is None or free.shipped else free.value,
        initial=initial,
        series=site.factor_series,
    )


def battery_parameters(site: Site) -> BatteryParameters:
    """Return how the site's battery is booked."""
    if site.battery is None:
        return BatteryParameters()
    battery = site.battery
    return BatteryParameters(
        battery.capacity_wh, battery.charge_efficiency, battery.discharge_efficiency
    )


def initial_stock(site: Site) -> float:
    """Return the stock that the battery is declared to begin with, Wh."""
    return 0.0 if site.battery is None else site.battery.initial_wh
