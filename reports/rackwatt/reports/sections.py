# SPDX-License-Identifier: Apache-2.0
"""The sections of a report that come from the figures, the site's file, and the journal's acts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Final

from rackwatt.collector.accounting.calendar import Span
from rackwatt.collector.accounting.factor_series import Scope
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.figures import Figure, PeriodFigures
from rackwatt.collector.accounting.label import EuReport, pue_class, wue_class
from rackwatt.collector.accounting.market import retired_energy
from rackwatt.collector.accounting.rules import Rules
from rackwatt.collector.accounting.vocabulary import RENEWABLE, total
from rackwatt.collector.ledger.bases import Basis
from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.ledger.months import INVOICE_LIMIT_RATIO, RECONCILE
from rackwatt.collector.site import Site
from rackwatt.reports.gathering import Gathered
from rackwatt.reports.parts import (
    Carbon,
    CertificateLine,
    ContractLine,
    EuFields,
    FactorUse,
    HourFigures,
    InvoiceLine,
    Method,
)
from rackwatt.reports.times import stamp

METHOD: Final = 1
OVERHEAD_RULE: Final = "minute by minute, pro rata to IT energy; without IT the operator's"
BATTERY_RULE: Final = "traced back to its sources: a mixed stock, discharged at its mean"
MATCHING_RULE: Final = "claims matched with the import per UTC hour; surplus is not carried over"
EXCLUDES: Final = ["refrigerants", "sf6", "scope_3"]


def coverage_of(found: PeriodFigures) -> dict[str, float]:
    """How much of the period each figure covers, 0..1, by the names of the figures."""
    flat = found.flat()
    known: dict[str, float] = {}
    by_value = {
        "residual_ratio": found.residual_ratio,
        "erf_ratio": found.erf,
        "wue_liters_per_kilowatt_hour": found.wue,
        "renewable_energy_factor_ratio": found.ref,
        "carbon_free_energy_score_ratio": found.cfe_ratio,
        "scope_1_grams": found.scope_1,
        "scope_2_location_grams": found.scope_2_location,
        "scope_2_market_grams": found.scope_2_market,
        "scope_2_market_proposed_grams": found.scope_2_proposed,
        "load_it_watt_hours": found.it,
    }
    for one in fields(found):
        value = getattr(found, one.name)
        if isinstance(value, Figure):
            by_value.setdefault(f"{one.name}_watt_hours", value)
    for name, part in found.sources.items():
        by_value[f"source_{name}_watt_hours"] = part
    for name, part in found.origins.items():
        by_value[f"origin_{name}_watt_hours"] = part
    for name, part in found.carbon.items():
        by_value[f"carbon_{name}_grams"] = part
    for name, value in by_value.items():
        if name in flat and value.known is not None:
            known[name] = value.coverage
    return known


def hour_lines(
    gathered: Gathered,
    rules: Rules,
    site: Site,
    wet_bulb: Callable[[int, int], float | None] = lambda _start, _end: None,
) -> list[HourFigures]:
    """The hours, for the heat map, by the site's clocks; the wet bulb of a span as it is known."""
    found: list[HourFigures] = []
    for part in gathered.hours:
        figures = gathered.figures(part, rules)
        begin = stamp(part.span.start_ms, site.timezone)
        found.append(
            HourFigures(
                start=begin,
                day=begin[:10],
                hour=int(begin[11:13]),
                carbon_free_energy_score_ratio=figures.cfe_ratio.value,
                load_watt_hours=figures.load.value,
                it_watt_hours=figures.it.value,
                boundary_watt_hours=figures.boundary.value,
                carbon_intensity_operational_grams_per_kilowatt_hour=(
                    figures.intensity["operational"].value
                ),
                wet_bulb_celsius=wet_bulb(part.span.start_ms, part.span.end_ms),
            )
        )
    return found


def invoice_lines(acts: Iterable[Act], span: Span, site: Site) -> list[InvoiceLine]:
    """The latest comparison of each span and meter that meets the period."""
    latest: dict[tuple[int, int, str], Act] = {}
    for act in acts:
        if act.name != RECONCILE:
            continue
        start, end = int(act.data["start_ms"]), int(act.data["end_ms"])
        if start < span.end_ms and end > span.start_ms:
            latest[start, end, str(act.data.get("meter", ""))] = act
    return [
        InvoiceLine(
            start=stamp(start, site.timezone),
            end=stamp(end, site.timezone),
            meter=meter,
            invoice_watt_hours=float(act.data["invoice_watt_hours"]),
            ledger_watt_hours=float(act.data["ledger_watt_hours"]),
            ratio=float(act.data["ratio"]),
            within_limit=abs(float(act.data["ratio"]) - 1.0) <= INVOICE_LIMIT_RATIO,
            author=act.author,
            reason=act.reason,
            entry=act.seq,
        )
        for (start, end, meter), act in sorted(latest.items())
    ]


def carbon_of(
    found: PeriodFigures, site: Site, span: Span, given: Callable[[str], float | None]
) -> Carbon:
    """Carbon both ways, with the certificates and contracts behind it.

    Args:
        found: The period's figures.
        site: The site.
        span: The period.
        given: What the plant of a contract gave, Wh.
    """
    market = found.market
    return Carbon(
        scope_1_grams=found.scope_1.value,
        scope_2_location_grams=found.scope_2_location.value,
        scope_2_market_grams=found.scope_2_market.value,
        scope_2_market_proposed_grams=found.scope_2_proposed.value,
        life_cycle_grams=found.carbon["life_cycle"].value,
        operational_grams=found.carbon["operational"].value,
        market_note=market.note,
        contracted_watt_hours=market.contracted,
        certified_watt_hours=market.certified,
        rest_watt_hours=market.rest,
        sold_watt_hours=market.sold,
        excludes=EXCLUDES,
        contracts=_contracts(found, site, span, given),
        certificates=certificate_lines(site, span),
    )


def _contracts(
    found: PeriodFigures, site: Site, span: Span, given: Callable[[str], float | None]
) -> list[ContractLine]:
    lines: dict[str, ContractLine] = {}
    for one in site.contracts:
        if one.validity.start_ms < span.end_ms and one.validity.end_ms > span.start_ms:
            lines[one.id] = ContractLine(
                id=one.id,
                kind=one.kind,
                source=str(one.claim),
                claimed_watt_hours=given(one.id),
                matched_watt_hours=found.matched_by_contract.get(one.id, 0.0),
            )
    return list(lines.values())


def certificate_lines(site: Site, span: Span) -> list[CertificateLine]:
    """The certificates that stand for energy of the period."""
    return [
        CertificateLine(
            registry=one.registry,
            serial=one.serial,
            source=one.source,
            start=stamp(one.start_ms, site.timezone),
            end=stamp(one.end_ms, site.timezone),
            watt_hours=one.watt_hours,
            inside_watt_hours=one.watt_hours
            * (min(one.end_ms, span.end_ms) - max(one.start_ms, span.start_ms))
            / (one.end_ms - one.start_ms),
            retired=None if one.retired_ms is None else stamp(one.retired_ms, site.timezone),
            beneficiary=one.beneficiary,
            contract=one.contract,
        )
        for one in site.certificates
        if one.start_ms < span.end_ms and one.end_ms > span.start_ms
    ]


def retired_of(rules: Rules, span: Span) -> float:
    """What retired certificates stand for in the period, with or without a contract, Wh."""
    return retired_energy(rules.certificates, span.start_ms, span.end_ms)


def eu_fields(found: PeriodFigures, site: Site, retired: float) -> EuFields:
    """The fields after EU 2024/1364; floor areas and installed power the site file does not say."""
    matched = found.matched.value if site.contracts else 0.0
    certified = retired if not site.contracts else found.market.certified
    return eu_from(found.flat(), site, certified, matched)


def eu_from(
    flat: Mapping[str, float | None], site: Site, certified: float | None, matched: float | None
) -> EuFields:
    """The same of figures by their names, with what certificates and contracts stand for, Wh."""
    own = {name: flat[f"origin_{name}_watt_hours"] for name in RENEWABLE}
    report = EuReport(
        e_dc=flat["boundary_watt_hours"],
        e_it=flat["load_it_watt_hours"],
        w_in=flat["water_liters"],
        e_reuse=flat["heat_reused_watt_hours"],
        e_res_goo=certified,
        e_res_ppa=matched,
        e_res_os=total([value for name, value in own.items() if _kept(site, name)]),
        battery_capacity=None if site.battery is None else site.battery.capacity_wh,
    )
    named = {one.name: getattr(report, one.name) for one in fields(report)}
    computed = {name: getattr(report, name) for name in ("e_res_tot", "pue", "wue", "erf", "ref")}
    return EuFields(
        fields=named | computed,
        pue_class=pue_class(flat["pue_ratio"]),
        wue_class=wue_class(flat["wue_liters_per_kilowatt_hour"]),
    )


def _kept(site: Site, source: str) -> bool:
    supply = site.supply.get(source)
    return supply is None or supply.attributes == "retained"


def method_of(found: PeriodFigures, bases: Sequence[Basis], span: Span) -> tuple[Method, list[str]]:
    """How it was computed, and which factors are missing, one sentence each."""
    used: dict[tuple[object, ...], FactorUse] = {}
    missing: dict[str, None] = {}
    for basis in bases:
        if basis.rules is None:
            continue
        factors = basis.rules.factors
        for at in _instants(factors, span):
            for one in _in_use(factors, at):
                used[tuple(one.model_dump().values())] = one
            # What a site has no source of needs no factor.
            missing |= {
                text: None
                for text in factors.at(at).messages
                if " for " not in text or _needed(text, found)
            }
    method = Method(
        version=METHOD,
        pue_category=found.pue.category,
        overhead_rule=OVERHEAD_RULE,
        battery_rule=BATTERY_RULE,
        matching_rule=MATCHING_RULE,
        factors=list(used.values()),
    )
    return method, list(missing)


def _needed(text: str, found: PeriodFigures) -> bool:
    item = text.partition(" for ")[2].partition(" ")[0]
    return item in found.sources


def _instants(factors: SiteFactors, span: Span) -> list[int]:
    inside = [edge for edge in factors.edges if span.start_ms < edge < span.end_ms]
    return [span.start_ms, *inside[:_MOST]]


_MOST: Final = 24
"""Of a factor that changes by the hour the first ones are listed; the basis in the journal has
them all."""


def _in_use(factors: SiteFactors, at: int) -> Iterable[FactorUse]:
    scopes: tuple[Scope, ...] = ("life_cycle", "direct")
    for item in ("pv", "wind", "hydro", "grid", "genset"):
        for scope in scopes:
            found = factors.find(item, scope, at)
            if found is not None:
                yield FactorUse(
                    item=item,
                    scope=scope,
                    value=found.value,
                    year=found.year,
                    source=found.source,
                    type=found.type,
                    estimated=found.estimated,
                    version=factors.table.version,
                )
