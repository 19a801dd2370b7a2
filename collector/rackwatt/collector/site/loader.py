# SPDX-License-Identifier: Apache-2.0
"""From the file to the site: all checks, all errors in one run."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from rackwatt.collector.accounting.thermal import AIR_CLASSES
from rackwatt.collector.site.basics import (
    battery_of,
    carbon_of,
    check_country,
    defaults_used,
    time_zone,
)
from rackwatt.collector.site.buses import buses_of, check_buses, ties_of
from rackwatt.collector.site.certificates import certificates_of
from rackwatt.collector.site.chains import chains_of
from rackwatt.collector.site.factor_series import factor_series_of
from rackwatt.collector.site.factors import FACTOR_NAMES
from rackwatt.collector.site.layout import Layout, check_feeds, lay_out
from rackwatt.collector.site.losses import modelled_losses_of
from rackwatt.collector.site.metering import (
    DEFAULT_CLASS,
    MeterTable,
    check_meters,
    meter_table,
)
from rackwatt.collector.site.models import SiteFile
from rackwatt.collector.site.moves import NO_MOVES, Moves, load_moves, moved, moves_path, rehouse
from rackwatt.collector.site.people import agents_of, contracts_of
from rackwatt.collector.site.problems import Problems
from rackwatt.collector.site.promises import commitments_of, phases_of
from rackwatt.collector.site.repair import repaired
from rackwatt.collector.site.tenants import tenants_of
from rackwatt.collector.site.topology import (
    SITE_HALL,
    Metering,
    Rack,
    Settlement,
    Site,
    Supply,
)
from rackwatt.collector.site.utilities import fuel_defaults, fuel_of, utilities_of
from rackwatt.wire.config import ConfigErrors, Document, load_document
from rackwatt.wire.cycles import no_search

SETTLEMENT_SECONDS: Final = (600.0, 900.0, 1800.0)


def load_site(path: Path) -> Site:
    """Read and check a site file, and the moves beside it.

    Raises:
        ConfigErrors: with all that is wrong, each with file, line, key and the nearest valid name.
    """
    with no_search():
        site = site_of(load_document(path), load_moves(path))
    own = {
        file.name: sha256(file.read_bytes()).hexdigest()
        for file in (path, moves_path(path))
        if file.is_file()
    }
    return replace(site, files=MappingProxyType({**site.files, **own}))


def site_of(document: Document, moves: Moves = NO_MOVES) -> Site:
    """The site that a document describes.

    Args:
        document: the site file.
        moves: what was moved since it was written.

    Raises:
        ConfigErrors: as `load_site`.
    """
    problems = Problems(document)
    try:
        file = document.validate(SiteFile)
    except ConfigErrors as error:
        cause = error.__cause__
        mended = repaired(document, cause) if isinstance(cause, ValidationError) else None
        if mended is None:
            raise
        problems.errors += error.errors
        file = mended
    site = _build(problems, file, moves)
    if problems.errors:
        raise ConfigErrors(problems.errors)
    return site


def _build(problems: Problems, file: SiteFile, moves: Moves) -> Site:
    problems.identifier(("site", "id"), file.site.id, "site")
    check_country(problems, ("site", "country"), file.site.country)
    zone = time_zone(problems, file.site.timezone)
    layout = lay_out(problems, file)
    rehouse(layout, moves)
    halls = (SITE_HALL, *(hall.id for hall in layout.halls))
    table = meter_table(problems, file.meters, layout, halls)
    check_feeds(problems, file, {meter.id for meter in table.meters})
    buses = buses_of(problems, file)
    metering = Metering(table.meters, buses, ties_of(problems, file, buses, layout, table))
    if check_meters(problems, table, metering):
        check_buses(problems, table, metering, buses)
    contracts = contracts_of(problems, file, table, layout)
    racks = {rack.id: rack for rack in layout.racks}
    nodes = _node_racks(layout)
    agents = agents_of(problems, file, halls, nodes)
    roles = {meter.role for meter in table.meters if meter.role is not None}
    battery = battery_of(problems, file.battery, metered="battery" in roles)
    carbon = carbon_of(file.carbon, file.site.country)
    utilities = utilities_of(problems, file, table, layout)
    fuel = fuel_of(problems, file)
    chains = chains_of(problems, file, layout)
    places, wrong = moved(layout, moves)
    problems.errors += wrong
    return Site(
        id=file.site.id,
        name=file.site.name or file.site.id,
        timezone=zone,
        country=file.site.country,
        latitude=file.site.latitude,
        longitude=file.site.longitude,
        simulated=file.site.simulated,
        air=AIR_CLASSES[file.site.air_class],
        battery=battery,
        carbon=carbon,
        supply=MappingProxyType(
            {
                "pv": Supply(file.supply.pv.attributes),
                "wind": Supply(file.supply.wind.attributes),
                "hydro": Supply(file.supply.hydro.attributes),
            }
        ),
        contracts=contracts,
        halls=tuple(layout.halls),
        racks=tuple(layout.racks),
        agents=agents,
        tenants=tenants_of(problems, file, racks, nodes),
        places=places,
        metering=metering,
        agent_halls=MappingProxyType({agent.name: agent.hall for agent in agents}),
        node_racks=MappingProxyType(nodes),
        defaults=(
            *defaults_used(file, carbon, battery, roles or FACTOR_NAMES[:-1]),
            *_class_defaults(table, file),
            *fuel_defaults(file, fuel),
        ),
        residual_limit_ratio=file.balance.residual_limit_ratio,
        modelled_losses=modelled_losses_of(problems, file, chains.power, table),
        settlement=_settlement(problems, file),
        export_cap_ratio=file.supply.export_cap_ratio,
        factor_series=factor_series_of(problems, file),
        certificates=certificates_of(problems, file),
        utilities=utilities,
        fuel=fuel,
        fuel_factors=MappingProxyType(dict(file.carbon.fuel_factors)),
        chains=chains,
        phases=phases_of(problems, file, layout),
        commitments=commitments_of(problems, file),
        files=MappingProxyType(problems.files),
    )


def _settlement(problems: Problems, file: SiteFile) -> Settlement | None:
    model = file.settlement
    if model is None:
        return None
    if model.window not in SETTLEMENT_SECONDS:
        problems.add(("settlement", "window"), "must be 10m, 15m or 30m")
    return Settlement(model.window, model.subscribed_watts)


def _node_racks(layout: Layout) -> dict[str, Rack]:
    """Node to the rack in which it stands last."""
    result: dict[str, Rack] = {}
    for rack in sorted(layout.racks, key=lambda rack: rack.validity.end_ms):
        result.update(dict.fromkeys(rack.nodes, rack))
    return result


def _class_defaults(table: MeterTable, file: SiteFile) -> list[str]:
    result: list[str] = []
    if table.defaulted:
        names = ", ".join(table.defaulted[:5]) + (", ..." if len(table.defaulted) > 5 else "")
        result.append(f"meters' class: {DEFAULT_CLASS:g} % for {names}")
    rows = [row for hall in file.halls for row in hall.rows]
    if any(row.pdus and row.pdu_class is None for row in rows):
        result.append(f"PDUs' class: {DEFAULT_CLASS:g} %")
    if any(meter.role == "it" and meter.position is None for meter in table.meters):
        result.append("position of an 'it' meter: unknown, the PUE has no category")
    return result
