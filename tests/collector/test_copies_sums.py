# SPDX-License-Identifier: Apache-2.0
"""Sums of the ledger's copy: UTC hours, local days and months, by the functions of reports."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from collecting import SITE_TEXT, small_site
from collector.books import BEGIN, HOUR, MINUTE, hour_of, ledger, record

from rackwatt.collector.accounting.calendar import spans
from rackwatt.collector.accounting.period import period
from rackwatt.collector.accounting.rules import Outside
from rackwatt.collector.copies.copier import Copier
from rackwatt.collector.copies.rows import Places
from rackwatt.collector.copies.spans import Sum
from rackwatt.collector.copies.sums import sum_days, sum_quarters, sum_rows
from rackwatt.collector.ledger import Ledger
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import Site, site_of
from rackwatt.collector.store import EmbeddedStore, read
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.config import Document

QUARTER = 15 * MINUTE
PLACES = Places("demo", {"r1": ("hall-a", "row-1")})


async def copied(book: Ledger, folder: Path, site: Site, now_ms: int) -> None:
    async def save(name: str, number: int) -> None:
        book.apply((), number, name)

    clock = ManualClock(now_ms)
    copier = Copier(site, folder / "ledger.db", EmbeddedStore(folder / "books"), save, clock)
    await copier.open()
    await copier.finish()
    await copier.aclose()


def found(folder: Path, name: str) -> dict[int, Mapping[str, Any]]:
    return {row.time_ms: row.fields for row in read(folder / "books", name)}


async def test_hours_days_and_months_are_what_reports_say(tmp_path: Path) -> None:
    """A site whose days begin within a UTC hour, over a midnight and the end of a month."""
    site = site_of(
        Document("site.yaml", SITE_TEXT.replace("timezone: UTC", "timezone: Asia/Kolkata"))
    )
    midnight = next(
        span.end_ms for span in spans(BEGIN, BEGIN + 40 * 24 * HOUR, "1mo", site.timezone)
    )
    shift = (midnight - 2 * HOUR - BEGIN) // 1000
    book = ledger(tmp_path / "ledger.db")
    seconds = range(shift, shift + 4 * 3600 + 1, 30)
    book.apply(hour_of(seconds), 1)
    end = midnight + 2 * HOUR
    book.close_intervals(end + 40_000)
    await copied(book, tmp_path, site, end)
    rows = list(book.rows(0, 2**60))
    assert len(rows) == 240
    first = rows[0].start_ms
    for every, count in (("1h", 5), ("1d", 2), ("1mo", 2)):
        figures = found(tmp_path, f"site_figures_{every}")
        assert len(figures) == count, every
        for span in spans(first, end, every, site.timezone):  # type: ignore[arg-type]
            within = [booked(row) for row in rows if span.start_ms <= row.start_ms < span.end_ms]
            expected = period(within, rules_of(site), Outside(span.start_ms, span.end_ms))
            whole = next(time for time in sorted(figures, reverse=True) if time <= span.start_ms)
            made = figures[whole]
            assert made["load_watt_hours"] == expected.load.value
            assert made["pue_ratio"] == expected.pue.value
            assert made["carbon_life_cycle_grams"] == expected.carbon["life_cycle"].value
            assert made["scope_2_location_grams"] == expected.scope_2_location.value
            assert made["completeness_ratio"] == expected.completeness
        balance = list(read(tmp_path / "books", f"energy_balance_{every}"))
        origins = [row.fields for row in balance if row.tags["origin"] != "battery"]
        parts = [float(fields["energy_watt_hours"]) for fields in origins]
        loads = [float(fields["load_watt_hours"]) for fields in figures.values()]
        assert math.fsum(parts) == pytest.approx(math.fsum(loads), rel=1e-9)


async def test_hours_are_named_by_the_sites_clock(tmp_path: Path) -> None:
    text = SITE_TEXT.replace("timezone: UTC", "timezone: Africa/Casablanca")
    site = site_of(Document("site.yaml", text))
    book = ledger(tmp_path / "ledger.db")
    ramadan = 1_771_113_600_000 - BEGIN  # 2026-02-15T00:00Z: from 02:00Z on UTC, before it UTC+1
    seconds = range(ramadan // 1000, ramadan // 1000 + 4 * 3600 + 1, 30)
    book.apply(hour_of(seconds), 1)
    book.close_intervals(BEGIN + ramadan + 4 * HOUR + 40_000)
    await copied(book, tmp_path, site, BEGIN + ramadan + 5 * HOUR)
    book.close()
    hours = found(tmp_path, "site_figures_1h")
    named = [(str(fields["local_day"]), fields["local_hour"]) for fields in hours.values()]
    assert named[:4] == [("2026-02-15", hour) for hour in ("01", "02", "02", "03")]
    assert "local_hour" not in next(iter(found(tmp_path, "site_figures_1d").values()))


async def test_late_data_is_summed_again(tmp_path: Path) -> None:
    book = ledger(tmp_path / "ledger.db")
    records = hour_of(range(0, 7201, 20))
    late = [item for item in records if item.device == "i" and item.time_ms < BEGIN + HOUR // 2]
    book.apply([item for item in records if item not in late], 1)
    book.close_intervals(BEGIN + 2 * HOUR + 40_000)
    await copied(book, tmp_path, small_site(), BEGIN + 2 * HOUR)
    before = found(tmp_path, "site_figures_1h")
    assert before[BEGIN]["load_watt_hours_known"] == 0.0, "half an hour of it is not known"
    assert before[BEGIN + HOUR]["load_watt_hours"] == pytest.approx(1200.0)
    book.apply(late, 2)
    book.close_intervals(BEGIN + 2 * HOUR + 40_000)
    await copied(book, tmp_path, small_site(), BEGIN + 2 * HOUR)
    after = found(tmp_path, "site_figures_1h")
    assert after[BEGIN]["load_watt_hours"] == pytest.approx(1200.0)
    assert after[BEGIN]["load_watt_hours_known"] == 1.0
    assert after[BEGIN]["revision"] > before[BEGIN]["revision"]
    (month,) = found(tmp_path, "site_figures_1mo").values()
    assert month["load_watt_hours"] == pytest.approx(2400.0)


async def test_the_current_spans_are_judged_by_what_is_booked_so_far(tmp_path: Path) -> None:
    book = ledger(tmp_path / "ledger.db")
    book.apply(hour_of(range(0, 1201, 20)), 1)
    book.close_intervals(BEGIN + 20 * MINUTE + 40_000)
    await copied(book, tmp_path, small_site(), BEGIN + 20 * MINUTE)
    for every in ("1h", "1d", "1mo"):
        (figures,) = found(tmp_path, f"site_figures_{every}").values()
        minute = found(tmp_path, "site_figures")[BEGIN]
        only = {"residual_uncertainty_watt_hours", "carbon_free_watt_hours"}
        names = {name.removesuffix("_known") for name in minute} - only
        missing = names - {name.removesuffix("_known") for name in figures}
        assert not missing, "a figure has one name, whatever its span"
        assert figures["load_watt_hours"] == pytest.approx(400.0), every
        assert figures["completeness_ratio"] == 1.0


# -- places and tenants --------------------------------------------------------------------------


def quarter(it: float | None, **tenants: float) -> dict[str, Any]:
    carbon = {"life_cycle": it, "operational": None}
    origins = None if it is None else {"pv": it}
    held = {"overhead": 0.0, "gpu_hours": 1.0, "carbon": carbon, "origins": origins}
    return {
        "tenants": {
            name: {**held, "it": part, "load": part, "kind": "company", "carbon_free": 0.0}
            for name, part in tenants.items()
        },
        "halls": {"hall-a": {"it": it, "load": it, "carbon": carbon, "origins": origins}},
        "racks": {"r1": [it, it, None]},
    }


def test_a_figure_known_in_less_than_95_percent_is_unknown() -> None:
    item = Sum("attribution", "1h", 0, HOUR)
    for unknown, value in ((1, 19.0), (2, None)):
        quarters = [quarter(1.0)] * (20 - unknown) + [quarter(None)] * unknown
        rows = sum_rows(sum_quarters(PLACES, quarters), {}, item, 7)
        fields = {row.measurement: row.fields for row in rows}
        assert fields["hall_energy_1h"].get("energy_watt_hours") == value
        assert fields["rack_energy_1h"]["it_watt_hours_known"] == float(value is not None)
        assert fields["hall_energy_1h"]["coverage_ratio"] == (20 - unknown) / 20
        assert fields["hall_energy_1h"]["revision"] == 7.0


def test_a_month_is_the_sum_of_its_days_and_a_tenant_counts_only_where_it_is() -> None:
    days = [
        sum_quarters(PLACES, [quarter(1.0, aurora=1.0, operator=2.0)] * 96),
        sum_quarters(PLACES, [quarter(1.0, operator=3.0)] * 92),
    ]
    month = sum_rows(sum_days(days), {}, Sum("attribution", "1mo", 0, 1), 1)
    tenants = {dict(row.tags).get("tenant"): row.fields for row in month}
    assert tenants["aurora"]["energy_watt_hours"] == 96.0
    assert tenants["operator"]["energy_watt_hours"] == 2 * 96.0 + 3 * 92.0
    assert tenants["operator"]["gpu_hours"] == 188.0


class OneTenant:
    """Attributes everything to whom it is told."""

    def __init__(self) -> None:
        self.tenant = "aurora"

    def row(self, quarter_start_ms: int, rows: Any) -> Mapping[str, Any]:
        return quarter(300.0, **{self.tenant: 300.0})


async def test_who_is_no_longer_there_has_zero_in_quarters_and_sums(tmp_path: Path) -> None:
    book = ledger(tmp_path / "ledger.db")
    everyone = OneTenant()
    book.attribute(everyone)
    book.apply(hour_of(range(0, 3601, 20)), 1)
    book.close_intervals(BEGIN + HOUR + 40_000)
    await copied(book, tmp_path, small_site(), BEGIN + HOUR)
    rows = list(read(tmp_path / "books", "tenant_energy"))
    assert [(row.time_ms, row.tags["tenant"]) for row in rows] == [
        (BEGIN + number * QUARTER, "aurora") for number in range(4)
    ]
    everyone.tenant = "boreal"
    book.restate(BEGIN, BEGIN + HOUR, "test", "the assignment was wrong")
    book.apply([record("i", 3620, power_watts=1.0)], 2)
    book.close_intervals(BEGIN + HOUR + 40_000)
    texts = book.attributions(BEGIN, BEGIN + HOUR).values()
    assert {name for text in texts for name in json.loads(text)["tenants"]} == {"boreal"}
    await copied(book, tmp_path, small_site(), BEGIN + HOUR)
    for name, watt_hours in (
        ("tenant_energy", 300.0), ("tenant_energy_1h", 1200.0),
        ("tenant_energy_1d", 1200.0), ("tenant_energy_1mo", 1200.0),
    ):  # fmt: skip
        for row in read(tmp_path / "books", name):
            expected = watt_hours if row.tags["tenant"] == "boreal" else 0.0
            assert row.fields["energy_watt_hours"] == expected, (name, row.tags)
