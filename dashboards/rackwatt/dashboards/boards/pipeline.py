# SPDX-License-Identifier: Apache-2.0
"""Pipeline: does every reading arrive, in time, and once? By Rackwatt's own metrics."""

from typing import Final

from rackwatt.dashboards.palette import SERIES
from rackwatt.dashboards.panels import Draw, lines, stat
from rackwatt.dashboards.sheet import Board, Sheet
from rackwatt.dashboards.targets import metric
from rackwatt.dashboards.units import COUNT, PERCENT, SINCE

_SECONDS: Final = "s"
_BYTES: Final = "bytes"
_RATE: Final = "cps"
"""Counts per second."""


def _rate(name: str, by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({name}[$__rate_interval]))"


def _number(sheet: Sheet, key: str, expression: str, limit: str = "", unit: str = COUNT) -> None:
    """One figure of this moment."""
    sheet.add(key, stat(unit, limit=limit, decimals=0), [metric(expression, instant=True)],
              width=4, height=5)  # fmt: skip


def _curve(
    sheet: Sheet,
    key: str,
    expression: str,
    alias: str,
    unit: str,
    *,
    limit: str = "",
    draw: Draw = "line",
    stack: bool = False,
) -> None:
    """Series over time."""
    shown = lines(unit, limit=limit, draw=draw, stack=stack, least=0 if unit != _SECONDS else None)
    sheet.add(key, shown, [metric(expression, alias)], width=8, height=8)


def _agents(sheet: Sheet) -> None:
    sheet.row("agents")
    _number(sheet, "up", "sum(rackwatt_agent_up)")
    _number(sheet, "down", "sum(rackwatt_agent_up == bool 0)", "messages_missing")
    _number(sheet, "missing", "sum(rackwatt_messages_missing)", "messages_missing")
    _number(sheet, "lost", "sum(rackwatt_messages_lost_total)", "messages_lost")
    _number(sheet, "dead", "sum(rackwatt_deadletter_messages)", "deadletter_messages")
    _number(sheet, "held", "sum(rackwatt_ledger_held_readings) or vector(0)", "held_readings")
    _curve(sheet, "nodes", "sum by (state) (rackwatt_gpu_nodes)", "{{state}}", COUNT,
           draw="area", stack=True)  # fmt: skip
    _curve(sheet, "missing_by", "rackwatt_messages_missing > 0", "{{agent}}", COUNT)
    _curve(sheet, "clocks", "rackwatt_clock_offset_seconds", "{{hall}}", _SECONDS,
           limit="clock_offset_seconds")  # fmt: skip


def _messages(sheet: Sheet) -> None:
    sheet.row("messages")
    _curve(sheet, "rate", _rate("rackwatt_messages_total", "kind"), "{{kind}}", _RATE,
           draw="area", stack=True)  # fmt: skip
    mended = [
        metric(_rate(f"rackwatt_messages_{name}_total"), name)
        for name in ("recovered", "duplicate", "lost")
    ]
    colors = dict(zip(("recovered", "duplicate", "lost"), SERIES[3:5] + SERIES[:1], strict=True))
    sheet.add("mended", lines(_RATE, least=0), mended, width=8, height=8, colors=colors)
    _curve(sheet, "rejected", _rate("rackwatt_messages_rejected_total", "reason"), "{{reason}}",
           _RATE, draw="bars", stack=True)  # fmt: skip


def _spool(sheet: Sheet) -> None:
    sheet.row("spool")
    _curve(sheet, "spool_bytes", "sum by (cursor) (rackwatt_spool_bytes)", "{{cursor}}", _BYTES)
    _curve(sheet, "spool_age", "max by (cursor) (rackwatt_spool_oldest_seconds)", "{{cursor}}",
           _SECONDS, limit="spool_oldest_seconds")  # fmt: skip
    _curve(sheet, "spool_full", "max(rackwatt_spool_full_ratio)", "", PERCENT,
           limit="spool_full_ratio")  # fmt: skip


def _store(sheet: Sheet) -> None:
    sheet.row("store")
    words = {number: sheet.speaker.name(name) for number, name in ((0, "away"), (1, "takes"))}
    for key, name in (("store_up", "rackwatt_store_up"), ("copy_up", "rackwatt_ledger_copy_up")):
        panel = stat(COUNT, words=words)
        sheet.add(key, panel, [metric(f"min({name})", instant=True)], width=4, height=8)
    _curve(sheet, "points", _rate("rackwatt_store_points_total"), "", _RATE)
    _curve(sheet, "lag", "max(rackwatt_store_lag_seconds)", "", _SECONDS,
           limit="store_lag_seconds")  # fmt: skip
    within = "sum by (seconds) (rate(rackwatt_store_rows_within_total[$__rate_interval]))"
    of_all = "scalar(max(sum by (seconds) (rate(rackwatt_store_rows_within_total"
    _curve(sheet, "within", f"{within} / {of_all}[$__rate_interval]))))", "≤ {{seconds}} s",
           PERCENT)  # fmt: skip
    _curve(sheet, "pending", "sum(rackwatt_rollups_pending)", "", COUNT)
    _curve(sheet, "copy_lag", "max(rackwatt_ledger_copy_lag_entries)", "", COUNT,
           limit="copy_lag_entries")  # fmt: skip


def _books(sheet: Sheet) -> None:
    sheet.row("books")
    closed = metric("max(rackwatt_ledger_closed_timestamp_seconds) * 1000", instant=True)
    sheet.add("closed", stat(SINCE), [closed], width=4, height=8)
    completeness = metric("min(rackwatt_completeness_ratio)", instant=True)
    sheet.add("completeness", stat(PERCENT, limit="completeness_ratio", decimals=1),
              [completeness], width=4, height=8)  # fmt: skip
    _curve(sheet, "restated", "sum(increase(rackwatt_ledger_restatements_total[$__rate_interval]))",
           "", COUNT, draw="bars")  # fmt: skip
    _curve(sheet, "refused", _rate("rackwatt_http_refused_total", "reason"), "{{reason}}", _RATE,
           draw="bars", stack=True)  # fmt: skip


def _lay(sheet: Sheet) -> None:
    _agents(sheet)
    _messages(sheet)
    _spool(sheet)
    _store(sheet)
    _books(sheet)


BOARD: Final = Board("pipeline", 7, _lay, span="3h", refresh="30s")
