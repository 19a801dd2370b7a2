# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site check`: what a site file says, in a few lines."""

from pathlib import Path

from rackwatt.collector.accounting.vocabulary import WATER_OUT
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site, Utility
from rackwatt.collector.site.utilities import liters_by_fuel
from rackwatt.wire.clock import SYSTEM_CLOCK

_CATEGORY_TEXT = {
    1: "1 (IT at the UPS output)",
    2: "2 (IT at the PDU output)",
    3: "3 (IT at its own input)",
    None: "unknown",
}


def check(path: Path) -> str:
    """Read, check and sum up a site file.

    Raises:
        ConfigErrors: with all that is wrong.
    """
    return summary(load_site(path), SYSTEM_CLOCK.now_ms())


def summary(site: Site, time_ms: int) -> str:
    """The site at `time_ms`, as text of several lines."""
    zone = site.timezone.key
    lines = [f"site {site.id}: {site.name} ({zone}{', simulated' if site.simulated else ''})"]
    racks = site.racks_at(time_ms)
    lines.append(
        f"{_count(len(site.halls), 'hall')},"
        f" {_count(len({(r.hall, r.row) for r in racks}), 'row')},"
        f" {_count(len(racks), 'rack')},"
        f" {_count(sum(len(r.nodes) for r in racks), 'node')},"
        f" {_count(sum(len(r.pdus) for r in racks), 'PDU')},"
        f" {_count(sum(len(r.sensors) for r in racks), 'sensor')},"
        f" {_count(len(site.agents), 'field agent')}, {_count(len(site.tenants), 'tenant')}"
    )
    lines += _meter_lines(site, time_ms)
    lines += [
        f"contract {c.id}: {c.claim} ({c.kind}), metered by {c.meter}" for c in site.contracts
    ]
    lines += [_utility_line(u) for u in site.utilities if u.validity.holds(time_ms)]
    lines += _chain_lines(site)
    lines += [f"phase {p.id}: in service {p.in_service or 'not yet'}" for p in site.phases]
    lines += [f"commitment {c.id}: {c.kind}, due {c.due}, {c.source}" for c in site.commitments]
    lines += _paper_lines(site)
    if site.battery is not None:
        b = site.battery
        size = "of unknown capacity" if b.capacity_wh is None else f"of {_big(b.capacity_wh, 'Wh')}"
        lines.append(
            f"battery {size}, efficiency {b.charge_efficiency:g} in, {b.discharge_efficiency:g} out"
        )
    lines += [f"default: {text}" for text in site.defaults]
    return "\n".join(lines)


def _utility_line(utility: Utility) -> str:
    if utility.kind != "water":
        return f"reused heat {utility.id}"
    if utility.source == WATER_OUT:
        return f"water {utility.id}: given back"
    return f"water {utility.id}: {utility.source}, for {utility.use}"


def _chain_lines(site: Site) -> list[str]:
    """What feeds what, and what of it hangs on one asset with its owner's knowledge."""
    lines: list[str] = []
    for name, chain in (("power", site.chains.power), ("cooling", site.chains.cooling)):
        if chain:
            edges = _count(len(chain.edges), "edge")
            lines.append(f"{name} chain: {_count(len(chain.assets), 'asset')}, {edges}")
        common = [asset.id for asset in chain.assets.values() if asset.common]
        if common:
            lines.append(f"{name} chain: stated as common to all sides: {_some(common)}")
    for model in site.modelled_losses:
        seen = f"{_some(list(model.meters))} {'above' if model.above else 'below'} it"
        lines.append(f"losses of {model.id}: modelled by {seen}")
    if site.chains.masses:
        lines.append(f"thermal mass of {_count(len(site.chains.masses), 'rack')}")
    return lines


def _paper_lines(site: Site) -> list[str]:
    """What stands on paper: certificates, factor series, the utility's demand."""
    lines: list[str] = []
    if site.certificates:
        retired = sum(line.retired_ms is not None for line in site.certificates)
        lines.append(f"{_count(len(site.certificates), 'certificate')}, {retired:,} retired")
    if site.factor_series:
        lines.append(f"{_count(len(site.factor_series), 'factor')} over time")
    for fuel, liters in liters_by_fuel(site.fuel).items():
        lines.append(f"fuel {fuel}: {liters:,.10g} L on paper")
    if site.settlement is not None:
        limit = site.settlement.subscribed_watts
        stated = "no limit stated" if limit is None else f"{_big(limit, 'W')} subscribed"
        lines.append(f"demand in windows of {site.settlement.window_seconds / 60:g} min, {stated}")
    return lines


def _meter_lines(site: Site, time_ms: int) -> list[str]:
    terms = site.terms_at(time_ms)
    if not terms.roles:
        return ["no meters: good for import only"]
    lines: list[str] = []
    if len(terms.buses) > 1:
        lines.append(f"buses {', '.join(terms.buses)}")
        lines += [f"tie {t.id}: {t.source} to {t.target}, by {t.meter_id}" for t in terms.ties]
    for role, parts in terms.roles.items():
        shown = _some([term.meter_id for term in parts if term.sign > 0])
        less = _some([term.meter_id for term in parts if term.sign < 0])
        shown = (shown or "no meter at this time") + (f"; less {less}" if less else "")
        lines.append(f"role {role}: {shown}")
    lines.append(f"PUE category {_CATEGORY_TEXT[terms.pue_category]}")
    if terms.not_in_service:
        waiting = _some(sorted(terms.not_in_service))
        lines.append(f"not in service, so unknown in signed figures: {waiting}")
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f", ... ({len(names):,} meters)" if len(names) > 4 else "")


def _big(value: float, unit: str) -> str:
    """`150 kWh`, `60 MW`: exact, in the prefix that fits."""
    for least, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= least:
            return f"{value / least:,.10g} {prefix}{unit}"
    return f"{value:,.10g} {unit}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
