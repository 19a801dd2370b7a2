# SPDX-License-Identifier: Apache-2.0
"""Laws of `rackwatt ledger import`: exact rules, halves, conservation, blocks and hours."""

import random
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import fsum
from pathlib import Path

import accounting_oracle as oracle
import pytest
from collector.flows_csv import FIXED, SITE, line_of, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwatt.collector.ledger.importing.lines import COLUMNS
from rackwatt.collector.ledger.importing.run import import_flows
from rackwatt.collector.ledger.importing.summary import Summary
from rackwatt.collector.site import Site
from rackwatt.collector.site.loader import site_of
from rackwatt.wire.config import Document

HEADER = [*FIXED, "hydro", "load_campus"]
ENERGIES = [name for name in HEADER if name not in {"time", "interval_seconds"}]
NAMES = {
    "grid_import": "grid",
    "battery_discharge": "discharge",
    "battery_charge": "charge",
    "grid_export": "export",
    "load_it": "it",
    "load_cooling": "cooling",
    "load_other": "other",
    "load_campus": "campus",
}
FACTORS = {
    "life_cycle": {"pv": 48.0, "wind": 11.0, "hydro": 24.0, "grid": 619.71, "genset": 900.0},
    "operational": {"pv": 0.0, "wind": 0.0, "hydro": 0.0, "grid": 554.24, "genset": 766.0},
}
AMOUNT = st.just(0.0) | st.floats(1e-3, 1e6)
AT_TIMES_UNKNOWN = st.one_of(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, st.none())
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Row = dict[str, float | None]
Found = dict[str, float | None]


def history(values: st.SearchStrategy[float | None], most: int = 8) -> st.SearchStrategy[list[Row]]:
    return st.lists(
        st.fixed_dictionaries(dict.fromkeys(ENERGIES, values)), min_size=1, max_size=most
    )


@cache
def loss_of_both_ways() -> Site:
    """The usual site, with losses at discharge too."""
    text = SITE.replace("discharge_efficiency: 1.0", "discharge_efficiency: 0.95")
    return site_of(Document("site.yaml", text))


def book(folder: Path, rows: list[Row], seconds: int = 60) -> tuple[list[Found], Summary]:
    """Import rows and read the numbers of the ledger."""
    lines = [line_of(index, row, HEADER, seconds) for index, row in enumerate(rows)]
    (folder / "flows.csv").write_text(text_of(lines, HEADER))
    summary = import_flows(folder / "flows.csv", loss_of_both_ways(), str(folder / "ledger.csv"))
    found: list[Found] = []
    for text in (folder / "ledger.csv").read_text().splitlines()[1:]:
        cells = dict(zip(COLUMNS, text.split(","), strict=True))
        del cells["time"], cells["flags"]
        found.append({name: float(cell) if cell else None for name, cell in cells.items()})
    return found, summary


def known(value: float | None) -> float:
    assert value is not None
    return value


def agrees(value: float | None, exact: Fraction | None, scale: float) -> bool:
    if value is None or exact is None:
        return value is None and exact is None
    return value == pytest.approx(float(exact), rel=1e-9, abs=1e-9 * scale)


@QUICK
@given(history(AT_TIMES_UNKNOWN))
def test_the_ledger_agrees_with_the_rules_in_exact_fractions(
    tmp_path: Path, rows: list[Row]
) -> None:
    found, _ = book(tmp_path, rows)
    scale = max([1.0, *(value or 0.0 for row in rows for value in row.values())])
    for series, column in (
        ("life_cycle", "carbon_life_cycle_g"),
        ("operational", "carbon_operational_g"),
    ):
        battery = oracle.Battery(Fraction(0.9), Fraction(0.95))
        factors = {name: Fraction(value) for name, value in FACTORS[series].items()}
        for row, line in zip(rows, found, strict=True):
            given_row = {
                NAMES.get(name, name): None if value is None else Fraction(value)
                for name, value in row.items()
            }
            exact = oracle.book(battery, given_row, factors)
            assert agrees(line["load_wh"], exact.load, scale)
            assert agrees(line["residual_wh"], exact.residual, scale)
            assert agrees(line["battery_stock_wh"], battery.held, scale)
            assert agrees(line[column], exact.carbon, scale)
            for origin in oracle.ORIGINS:
                if exact.load != 0:
                    origins = exact.origins
                    expected = None if origins is None else origins[origin]
                    assert agrees(line[f"{origin}_wh"], expected, scale)
                assert agrees(line[f"battery_{origin}_wh"], battery.stock[origin], scale)
        last = "battery_carbon_g" if series == "life_cycle" else "battery_carbon_operational_g"
        assert agrees(found[-1][last], battery.mass, scale)


@QUICK
@given(history(AT_TIMES_UNKNOWN))
def test_the_books_close_whatever_is_unknown(tmp_path: Path, rows: list[Row]) -> None:
    found, summary = book(tmp_path, rows)
    assert summary.closed
    assert all(check.error is not None for check in summary.checks)
    for line in found:
        assert known(line["battery_stock_wh"]) >= 0.0
        origins = [line[f"{origin}_wh"] for origin in oracle.ORIGINS]
        if None not in origins:
            load = known(line["load_wh"])
            assert fsum(map(known, origins)) == pytest.approx(load, rel=1e-12)
            assert min(map(known, origins)) >= 0.0


@QUICK
@given(history(AMOUNT, 4), st.booleans())
def test_halves_come_to_the_whole(tmp_path: Path, rows: list[Row], charging: bool) -> None:
    """When the battery does only one thing in an interval, and holds enough."""
    idle = "battery_discharge" if charging else "battery_charge"
    filled: Row = {**dict.fromkeys(ENERGIES, 0.0), "wind": 1e9, "battery_charge": 1e9}
    whole = [filled, *(row | {idle: 0.0} for row in rows)]
    halves = [{name: known(v) / 2 for name, v in row.items()} for row in whole for _ in (0, 1)]
    once, _ = book(tmp_path, whole, 120)
    twice, _ = book(tmp_path, [dict(row) for row in halves], 60)
    for index, line in enumerate(once):
        first, second = twice[2 * index], twice[2 * index + 1]
        for name in ("load_wh", *(f"{origin}_wh" for origin in oracle.ORIGINS), "residual_wh"):
            both = known(first[name]) + known(second[name])
            assert both == pytest.approx(known(line[name]), rel=1e-9, abs=1e-5)
        for name in ("battery_stock_wh", "battery_carbon_g"):
            assert second[name] == pytest.approx(known(line[name]), rel=1e-9, abs=1e-5)
        for half in (first, second):
            share = line["renewable_share"]
            expected = None if share is None else pytest.approx(share, rel=1e-9)
            assert half["renewable_share"] == expected


def month(seed: int, count: int) -> list[Row]:
    """A site with panels, wind, grid and a battery, metered with some error."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    rows: list[Row] = []
    stock = 0.0
    for _ in range(count):
        pv, wind, it = dice.random() * 9000, dice.random() * 4000, 6000 + dice.random() * 900
        row: Row = {
            "pv": pv,
            "wind": wind,
            "load_it": it,
            "load_cooling": 900.0,
            "load_other": 50.0,
        }
        over = pv + wind - it - 950.0
        charge = min(max(over, 0.0), 3000.0)
        discharge = min(max(-over, 0.0), 0.9 * stock, 2500.0)
        stock += 0.9 * charge - discharge / 0.95
        bought = max(-over - discharge, 0.0) * dice.uniform(0.99, 1.01)
        row |= {"battery_charge": charge, "battery_discharge": discharge, "grid_import": bought}
        rows.append(row | {"grid_export": max(over - charge, 0.0)})
    return rows


def test_energy_and_carbon_of_many_rows_close(tmp_path: Path) -> None:
    """More rows than a block, and more than the second process is given at once."""
    rows = month(7, 5000)
    found, summary = book(tmp_path, rows)
    assert len(found) == len(rows)
    assert max(known(check.error) for check in summary.checks) < 1e-9
    sums = summary.tally.sums
    for name in ("load_wh", "pv_wh", "carbon_life_cycle_g", "scope_2_g", "battery_losses_wh"):
        assert sums[name].value == pytest.approx(fsum(known(line[name]) for line in found))
    # Energy by energy, from the input: what came in is what went out.
    into = fsum(row.get(name) or 0.0 for row in rows for name in ("pv", "wind", "grid_import"))
    residual = fsum(known(line["residual_wh"]) for line in found)
    out = fsum(known(line["load_wh"]) for line in found)
    out += fsum(row.get("grid_export") or 0.0 for row in rows)
    out += fsum(known(line["battery_losses_wh"]) for line in found)
    out += known(found[-1]["battery_stock_wh"])
    assert into - residual == pytest.approx(out, rel=1e-9)
    emitted = fsum(
        known(row.get(name) or 0.0) * FACTORS["life_cycle"][origin] / 1000
        for row in rows
        for name, origin in (("pv", "pv"), ("wind", "wind"), ("grid_import", "grid"))
    )
    emitted += fsum(max(-known(line["residual_wh"]), 0.0) for line in found) * 0.61971
    assert emitted == pytest.approx(_carbon_out(rows, found), rel=1e-9)


def _carbon_out(rows: list[Row], found: list[Found]) -> float:
    """Life-cycle carbon of the load, the export and what is unmetered, and that in the battery."""
    parts: list[float] = []
    for row, line in zip(rows, found, strict=True):
        beside = (row.get("grid_export") or 0.0) + known(line["unmetered_wh"])
        parts += [
            known(line["carbon_life_cycle_g"]),
            beside * known(line["intensity_life_cycle_g_per_kwh"]) / 1000,
        ]
    return fsum([*parts, known(found[-1]["battery_carbon_g"])])


def test_sums_and_ratios_leave_out_exactly_what_is_unknown(tmp_path: Path) -> None:
    """Ten intervals, facility 120, IT 100, one IT unknown: 1.200 and never 1200 / 900."""
    rows: list[Row] = [
        {"grid_import": 120.0, "load_it": 100.0, "load_other": 20.0} for _ in range(10)
    ]
    rows[3]["load_it"] = None
    _, summary = book(tmp_path, rows)
    ratio = summary.tally.ratios["pue"]
    assert ratio.value == pytest.approx(1.2, rel=1e-12)
    assert summary.coverage(ratio.seconds) == pytest.approx(0.9)
    assert summary.reported(ratio) is None
    assert summary.tally.sums["it_wh"].value == 900.0
    mean: Mapping[str, object] = summary.as_json()["ratios"]["pue"]
    assert mean == {"value": None, "coverage": pytest.approx(0.9)}
