# SPDX-License-Identifier: Apache-2.0
"""The ledger's rows and a site's words, as key figures read them."""

from collections.abc import Mapping
from math import fsum
from typing import Any

from rackwatt.collector.accounting.booked import BookedInterval
from rackwatt.collector.accounting.market import Certificate
from rackwatt.collector.accounting.pue_meters import PueMeters
from rackwatt.collector.accounting.rules import Rules
from rackwatt.collector.accounting.uncertainty import MeterClass
from rackwatt.collector.accounting.vocabulary import WATER_OUT
from rackwatt.collector.ledger.journal import (
    HEAT_REUSED,
    LOSSES,
    WATER_DISCHARGE,
    WATER_LITERS,
    LedgerRow,
)
from rackwatt.collector.ledger.sites import battery_parameters
from rackwatt.collector.site import Site
from rackwatt.collector.site.topology import FOR_EVER

UPS_FLAGS = frozenset({"ups_on_battery", "ups_recharging"})
"""A row with one of them ends while a UPS owes its battery energy."""


def booked(row: LedgerRow) -> BookedInterval:
    """Return a row as key figures read it. Rows of older versions lack some fields: unknown."""
    data = row.data
    battery, factors = data["battery"], data.get("grid_factors", {})
    flags = frozenset((*data["flags"], *data["metering"]))
    residual = data["residual"]
    return BookedInterval(
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        revision=row.revision,
        restated=row.restated,
        sources={name: _lifted(value) for name, value in data["sources"].items()},
        sinks=data["sinks"],
        charge=_lifted(data["charge"]),
        discharge=_lifted(data["discharge"]),
        load=data["load"],
        it=data["it"],
        boundary=data["boundary"],
        residual=residual,
        residual_uncertainty=data.get("residual_uncertainty"),
        losses_in_model=LOSSES in data,
        losses_modelled=data.get(LOSSES, 0.0),
        unmetered=None if residual is None else data["unmetered"],
        unknown=None if residual is None else data["unknown"],
        beyond=data["beyond"],
        origins=data["origins"],
        carbon=data["carbon"],
        scope_2=data["scope_2"],
        carbon_free=data.get("carbon_free"),
        exported=_exported(data),
        stock=fsum(battery["stock"].values()),
        battery_carbon=battery["carbon"],
        stock_change=data["stock_change"],
        completeness=data["completeness"],
        flags=flags,
        pue_category=data["pue_category"],
        ups_open=not flags.isdisjoint(UPS_FLAGS),
        claims=data.get("claims", {}),
        grid_direct=factors.get("direct"),
        grid_carbon_free=factors.get("carbon_free"),
        water=_water(data),
        heat_metered=HEAT_REUSED in data,
        heat_reused=data.get(HEAT_REUSED),
    )


def _water(data: Mapping[str, Any]) -> Mapping[str, float | None]:
    """Return the water taken in by source, and what is given back."""
    taken: Mapping[str, float | None] = data.get(WATER_LITERS, {})
    return {**taken, WATER_OUT: data[WATER_DISCHARGE]} if WATER_DISCHARGE in data else taken


def _lifted(value: float | None) -> float | None:
    """Lift what a difference of meters put below 0 to 0, as the books do."""
    return value if value is None or value >= 0.0 else 0.0


def _exported(data: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the export by origin: it left each bus with that bus's mix."""
    if data["sinks"].get("export", 0.0) == 0.0:
        return {}
    sums: dict[str, list[float]] = {}
    for bus in list(data.get("buses", {}).values()) or [data]:
        exported = bus["sinks"].get("export", 0.0)
        if exported == 0.0:
            continue
        if exported is None or bus["shares"] is None:
            return None
        for origin, part in bus["shares"].items():
            sums.setdefault(origin, []).append(exported * part)
    return {origin: fsum(parts) for origin, parts in sums.items()}


def rules_of(site: Site, time_ms: int = FOR_EVER - 1) -> Rules:
    """Return what a site's file says of its figures.

    Args:
        site: The site.
        time_ms: Its meters at this time stand behind the uncertainty of the PUE; absent: those of
            its last change.
    """
    terms = site.terms_at(time_ms)
    parameters = battery_parameters(site)
    return Rules(
        attributes={name: supply.attributes for name, supply in site.supply.items()},
        residual_factor=site.carbon.factor("residual", "direct"),
        contracts={contract.id: contract.claim for contract in site.contracts},
        residual_limit_ratio=site.residual_limit_ratio,
        certificates=[
            Certificate(
                registry=line.registry,
                serial=line.serial,
                source=line.source,
                start_ms=line.start_ms,
                end_ms=line.end_ms,
                watt_hours=line.watt_hours,
                retired_ms=line.retired_ms,
                beneficiary=line.beneficiary,
                contract=line.contract,
            )
            for line in site.certificates
        ],
        export_cap_ratio=site.export_cap_ratio,
        meters=PueMeters(
            classes={
                name: MeterClass(meter.accuracy, meter.transformer_class, meter.calibration_group)
                # A period may hold energies of meters that are gone by then.
                for when in (*site.metering.starts, time_ms)
                for name, meter in site.meters_at(when).items()
            },
            terms={
                role: [(term.meter_id, term.sign) for term in parts]
                for role, parts in terms.roles.items()
            },
            charge_efficiency=parameters.charge_efficiency,
            discharge_efficiency=parameters.discharge_efficiency,
        ),
        genset_direct=site.carbon.factor("genset", "direct"),
        fuel_factors=site.fuel_factors,
        fuel=site.fuel,
    )
