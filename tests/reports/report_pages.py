# SPDX-License-Identifier: Apache-2.0
"""A made-up report of October 2026 to print, without books behind it."""

from datetime import date, timedelta

from rackwatt.reports.document import Report
from rackwatt.reports.parts import (
    Carbon,
    EuFields,
    Figures,
    GpuFleet,
    HourFigures,
    MeterLine,
    Method,
    Period,
    Proof,
    Quality,
    SiteWords,
    SpanFigures,
    TenantLine,
)
from rackwatt.reports.sections import BATTERY_RULE, EXCLUDES, MATCHING_RULE, OVERHEAD_RULE

DAYS = [date(2026, 10, 1) + timedelta(days=at) for at in range(31)]


def figures(scale: float) -> Figures:
    """Flows that close, in proportion."""
    return {
        "source_pv_watt_hours": 30e6 * scale,
        "source_grid_watt_hours": 41e6 * scale,
        "unknown_watt_hours": 1e6 * scale,
        "load_it_watt_hours": 60e6 * scale,
        "load_cooling_watt_hours": 6e6 * scale,
        "load_losses_watt_hours": 4e6 * scale,
        "load_other_watt_hours": 2e6 * scale,
        "load_watt_hours": 72e6 * scale,
        "origin_pv_watt_hours": 30e6 * scale,
        "origin_grid_watt_hours": 41e6 * scale,
        "origin_unknown_watt_hours": 1e6 * scale,
        "scope_2_location_grams": 20e6 * scale,
        "scope_2_market_grams": 18e6 * scale,
        "pue_ratio": 1.2 + scale / 100,
        "renewable_share_ratio": 0.42,
        "carbon_free_energy_score_ratio": 0.5,
    }


def a_report() -> Report:
    """The report: final, without a comparison, two tenants."""
    start, end = "2026-10-01T00:00:00+01:00", "2026-11-01T00:00:00+01:00"
    meter = MeterLine(
        id="grid-1", role="grid", position=None, accuracy_class=0.5, transformer_class=None,
        calibrated=None, calibration_due="2027-05-01", overdue=False, state="in_service",
        in_service=True, energy_watt_hours=41e6,
    )  # fmt: skip
    return Report(
        site=SiteWords(
            id="made-up", name="Made-up site", country="MA", time_zone="Africa/Casablanca",
            simulated=False,
        ),
        period=Period(
            kind="month", label="2026-10", start=start, end=end, start_ms=1790809200000,
            end_ms=1793487600000, hours=744.0, booked_ratio=1.0,
        ),
        state="final",
        reasons=[],
        notes=[],
        figures=figures(1.0),
        coverage={},
        previous=None,
        year_ago=None,
        months=[],
        days=[
            SpanFigures(label=day.isoformat(), start=start, end=end, hours=24.0,
                        figures=figures((1 + at % 7 / 10) / 31))
            for at, day in enumerate(DAYS)
        ],
        hours=[_hour(day, hour) for day in DAYS for hour in range(24)],
        meters=[meter],
        terms=[],
        carbon=_carbon(),
        invoices=[],
        gpus=GpuFleet(gpu_hours=95232.0, allocated_gpu_hours=72912.0, it_watt_hours=60e6),
        tenants=[_tenant("lab", "The Lab"), _tenant("operator", "operator")],
        water_liters={"municipal": 12345.0},
        water_discharge_liters=None,
        quality=Quality(
            completeness_ratio=1.0, estimated_ratio=0.0, intervals=44640,
            expected_intervals=44640, restated_intervals=0, restatements=[], flags={}, lost=[],
            held={}, residual_ratio=0.0, residual_month_flag=False,
        ),
        method=Method(version=1, pue_category=2, overhead_rule=OVERHEAD_RULE,
                      battery_rule=BATTERY_RULE, matching_rule=MATCHING_RULE, factors=[]),
        eu=EuFields(fields={"e_dc": 72e6, "e_it": 60e6}, pue_class="A", wue_class=None),
        export_cap_ratio=None,
        proof=Proof(source="ledger", entry=5, hash="0" * 64, software="0", tz_version="2025b",
                    topology={}, factors=[1], bases=[1]),
    )  # fmt: skip


def _hour(day: date, hour: int) -> HourFigures:
    return HourFigures(
        start=f"{day.isoformat()}T{hour:02}:00:00+01:00", day=day.isoformat(), hour=hour,
        carbon_free_energy_score_ratio=hour / 24, load_watt_hours=1e5, it_watt_hours=8e4,
        boundary_watt_hours=1e5, carbon_intensity_operational_grams_per_kilowatt_hour=300.0,
    )  # fmt: skip


def _carbon() -> Carbon:
    return Carbon(
        scope_1_grams=0.0, scope_2_location_grams=20e6, scope_2_market_grams=18e6,
        scope_2_market_proposed_grams=None, life_cycle_grams=23e6, operational_grams=20e6,
        market_note=None, contracted_watt_hours=0.0, certified_watt_hours=0.0,
        rest_watt_hours=41e6, sold_watt_hours=0.0, excludes=EXCLUDES, contracts=[],
        certificates=[],
    )  # fmt: skip


def _tenant(key: str, name: str) -> TenantLine:
    return TenantLine(
        id=key, name=name, kind="researcher", country="MA", it_watt_hours=30e6,
        overhead_watt_hours=6e6, load_watt_hours=36e6, rounded_kilowatt_hours=36000,
        gpu_hours=40000.0, carbon_life_cycle_grams=11e6, carbon_operational_grams=10e6,
        carbon_free_watt_hours=15e6, origins_watt_hours={"pv": 15e6, "grid": 21e6},
        certificates_watt_hours=0.0, coverage_ratio=1.0,
    )  # fmt: skip
