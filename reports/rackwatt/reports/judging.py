# SPDX-License-Identifier: Apache-2.0
"""What keeps a report from being final, and what its reader must know besides."""

from collections.abc import Iterable, Sequence
from typing import Final

from rackwatt.collector.accounting.keyfigures import SIGNED_COVERAGE
from rackwatt.collector.accounting.tenants import OPERATOR
from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.ledger.months import (
    CLOSED_ACT,
    FINAL_ACT,
    INVOICE_LIMIT_RATIO,
    REOPENED_ACT,
)
from rackwatt.reports.parts import Figures, InvoiceLine, Quality, Reason, TenantLine

ESTIMATED_LIMIT_RATIO: Final = 0.05
"""A report of which more energy is estimated is preliminary."""

SIGNED: Final = (
    "pue_coverage_ratio", "shares_coverage_ratio", "load_watt_hours", "boundary_watt_hours",
    "load_it_watt_hours", "scope_2_location_grams", "scope_2_market_grams",
)  # fmt: skip
"""What is signed, and must be known in 99 % of the period."""


def reason(code: str, text: str, **values: str | float | None) -> Reason:
    """Return a reason."""
    return Reason(code=code, text=text, values=values)


def month_states(acts: Iterable[Act], labels: Sequence[str]) -> list[Reason]:
    """Say which months were not closed, or not final, when the journal's entry was written."""
    states = dict.fromkeys(labels, "open")
    named = {CLOSED_ACT: "closed", FINAL_ACT: "final", REOPENED_ACT: "closed"}
    for act in acts:
        label = str(act.data.get("month", ""))
        if act.name in named and label in states:
            states[label] = named[act.name]
    found = []
    for label, state in states.items():
        if state == "open":
            text = f"{label} is not closed in the books: it has not ended in them"
            found.append(reason("not_closed", text, month=label))
        elif state == "closed":
            text = f"{label} is closed but not final: 'rackwatt ledger verify' and the page say why"
            found.append(reason("not_final", text, month=label))
    return found


def coverage_reasons(coverage: dict[str, float], figures: Figures) -> list[Reason]:
    """Say which signed figure covers too little of the period."""
    found = []
    for name in SIGNED:
        known = figures.get(name) if name.endswith("coverage_ratio") else coverage.get(name)
        if known is None or known < SIGNED_COVERAGE:
            shown = 0.0 if known is None else known
            text = f"{name} covers {shown * 100:.2f} % of the period; 99 % is needed to sign"
            found.append(reason("completeness", text, figure=name, coverage_ratio=shown))
    return found


def quality_reasons(quality: Quality, booked_ratio: float) -> list[Reason]:
    """Say what the data lacks."""
    found = []
    if booked_ratio < SIGNED_COVERAGE:
        text = f"the books hold {booked_ratio * 100:.2f} % of the period"
        found.append(reason("half_booked", text, booked_ratio=booked_ratio))
    complete = quality.completeness_ratio
    if complete is not None and complete < SIGNED_COVERAGE:
        text = f"the flows are known to {complete * 100:.2f} %; 99 % is needed to sign"
        found.append(reason("completeness", text, figure="completeness", coverage_ratio=complete))
    estimated = quality.estimated_ratio
    if estimated is not None and estimated > ESTIMATED_LIMIT_RATIO:
        text = (
            f"{estimated * 100:.2f} % of the energy fell in minutes with estimates, more than 5 %"
        )
        found.append(reason("estimated", text, estimated_ratio=estimated))
    if quality.held:
        agents = ", ".join(quality.held)
        text = f"readings of {agents} are held for their clock: 'rackwatt ledger release'"
        found.append(reason("held", text, agents=agents))
    return found


def invoice_reasons(invoices: Sequence[InvoiceLine]) -> list[Reason]:
    """Say which invoice is off by more than half a per cent."""
    found = []
    for one in invoices:
        off = abs(one.ratio - 1.0)
        if off > INVOICE_LIMIT_RATIO:
            text = (
                f"the invoice of {one.start[:10]} to {one.end[:10]} is off by {off * 100:.2f} %, "
                "more than 0.5 %"
            )
            found.append(reason("invoice", text, off_ratio=off, entry=float(one.entry)))
    return found


def meter_reasons(absent: Sequence[str]) -> list[Reason]:
    """Say which meters were not in service."""
    if not absent:
        return []
    named = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
    text = f"meters of the boundary were not in service in the whole period: {named}"
    return [reason("meters", text, meters=named, count=float(len(absent)))]


def hole_reasons(holes: Sequence[tuple[str, str, str]]) -> list[Reason]:
    """Say where no meter stands for a role: the role, from when, until when."""
    return [
        reason(
            "meter_hole",
            f"no meter stands for {role} from {start} to {end}: what flowed then is in no figure",
            role=role, start=start, end=end,
        )
        for role, start, end in holes
    ]  # fmt: skip


def tenant_notes(lines: Sequence[TenantLine]) -> list[Reason]:
    """Say which tenants have no name, and what an incomplete statement lacks."""
    found = []
    for one in lines:
        if one.name in {"", one.id} and one.id != OPERATOR:
            text = f"tenant {one.id} has no name in the site file: its id stands in its place"
            found.append(reason("tenant_without_name", text, tenant=one.id))
    worst = min((one.coverage_ratio for one in lines), default=1.0)
    if worst < 1.0:
        text = f"a tenant's quarter hours are known to {worst * 100:.2f} % only"
        found.append(reason("attribution", text, coverage_ratio=worst))
    return found


def clock_notes(hours: float, days: int) -> list[Reason]:
    """Say that clocks changed within the period."""
    plain = 24.0 * days
    if hours == plain:
        return []
    text = f"clocks changed: the period has {hours:g} hours, not {plain:g}"
    return [reason("clock_change", text, hours=hours, plain_hours=plain)]
