# SPDX-License-Identifier: Apache-2.0
"""Sustainability: can the figures be signed, and do they say what was promised?"""

from typing import Final

from rackwatt.alerts.alert import Alert, Severity
from rackwatt.alerts.thresholds import Limits

_PUE: Final = 'avg_over_time(rackwatt_pue_ratio{window="15m"}[1h])'
_DAY: Final = "24 * 3600"


def _of(name: str, expr: str, severity: Severity, wait: str = "", keep: str = "") -> Alert:
    return Alert(name=name, expr=expr, severity=severity, owner="sustainability", board="figures",
                 wait=wait, keep=keep)  # fmt: skip


def alerts(limits: Limits) -> list[Alert]:
    """Those of this family."""
    residual = (
        "rackwatt_balance_month_residual_ratio and on (site) rackwatt_balance_month_flagged == 1"
    )
    return [
        _of("PueAboveExpected",
            f"{_PUE} / on (site) avg_over_time(rackwatt_pue_expected_ratio[1h])"
            f" {limits.warn('pue_over_expected_ratio')}", "ticket", "24h"),
        _of("CarbonFreeBelowTarget",
            "avg_over_time(rackwatt_carbon_free_share_ratio[1d])"
            f" {limits.warn('carbon_free_share_ratio')}", "digest", "1h"),
        _of("BalanceResidualMonth", residual, "ticket", "1h"),
        _of("CompletenessLow",
            f"rackwatt_completeness_ratio {limits.bad('completeness_ratio')}", "ticket", "10m"),
        _of("MeterStuck",
            f"rackwatt_meter_unchanged_seconds {limits.bad('meter_unchanged_seconds')}",
            "ticket", "1m", "5m"),
        _of("RegisterReset",
            f"time() - rackwatt_register_reset_timestamp_seconds < {_DAY}", "ticket"),
        _of("MaintenanceOverdue",
            "rackwatt_maintenance_overdue_number > 0", "ticket", "15m"),
        _of("CalibrationOverdue",
            "rackwatt_meters_calibration_overdue_number > 0", "ticket", "1h"),
    ]  # fmt: skip
