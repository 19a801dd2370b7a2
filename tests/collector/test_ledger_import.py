# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger import`: golden hours, unknown values, claims, time, factors, the summary."""

import json
from math import fsum
from pathlib import Path

import pytest
from collector.flows_csv import FIXED, GOLDEN, SITE, ledger, line_of, rows, run, text_of
from typer.testing import CliRunner

from rackwatt.collector.ledger.commands import ledger_app

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PROMISED = (
    "time,load_wh,pv_wh,wind_wh,hydro_wh,grid_wh,genset_wh,unknown_wh,renewable_share,"
    "carbon_life_cycle_g,carbon_operational_g,pue,battery_stock_wh,battery_carbon_g,residual_wh,"
    "completeness,"
)
ORIGINS = ("pv_wh", "wind_wh", "hydro_wh", "grid_wh", "genset_wh", "unknown_wh")


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def numbers(row: dict[str, str], *columns: str) -> list[float]:
    return [float(row[column]) for column in columns]


def test_the_golden_hours(tmp_path: Path) -> None:
    first, second = ledger(tmp_path, text_of(GOLDEN))
    assert (tmp_path / "ledger.csv").read_text().startswith(PROMISED)
    assert numbers(first, "load_wh", *ORIGINS) == exactly_all(
        144_000, 72_000, 36_000, 0, 36_000, 0, 0
    )
    assert float(first["renewable_share"]) == exactly(0.75)
    assert float(first["intensity_life_cycle_g_per_kwh"]) == exactly(181.6775)
    assert float(first["carbon_life_cycle_g"]) == exactly(144 * 181.6775)
    assert numbers(first, "battery_pv_wh", "battery_wind_wh", "battery_grid_wh") == exactly_all(
        25_200, 12_600, 12_600
    )
    assert numbers(first, "battery_stock_wh", "battery_carbon_g") == exactly_all(50_400, 10_173.94)
    assert numbers(second, "load_wh", *ORIGINS) == exactly_all(
        144_000, 22_000, 51_000, 0, 71_000, 0, 0
    )
    assert float(second["renewable_share"]) == exactly(73 / 144)
    mass = (40 * 11 + 60 * 619.71 + 44 * 10_173.94 / 50.4) / 144
    assert float(second["intensity_life_cycle_g_per_kwh"]) == exactly(mass)
    assert numbers(second, "battery_stock_wh", "battery_carbon_g") == exactly_all(
        6_400, 10_173.94 * 6.4 / 50.4
    )
    assert numbers(second, "pue", "completeness", "residual_wh") == exactly_all(1.2, 1.0, 0.0)
    scope_2 = fsum(float(row["scope_2_g"]) for row in (first, second))
    load = fsum(float(row["carbon_operational_g"]) for row in (first, second))
    assert scope_2 == exactly(60_966.4)
    assert load + float(second["battery_carbon_operational_g"]) == exactly(60_966.4)


def exactly_all(*values: float) -> object:
    return pytest.approx(list(values), rel=1e-9, abs=1e-9)


def test_the_examples_of_the_documentation(tmp_path: Path) -> None:
    flows, site = EXAMPLES / "import-flows.csv", EXAMPLES / "import-site.yaml"
    out = tmp_path / "ledger.csv"
    where = ["--site", str(site), "--out", str(out)]
    done = CliRunner().invoke(ledger_app, ["import", str(flows), *where])
    assert done.exit_code == 0, done.output
    found = rows(tmp_path)
    assert len(found) == 6
    assert float(found[1]["battery_stock_wh"]) == exactly(6400)
    assert "gap of 1 h before line 6" in done.stderr


def test_any_order_of_columns_a_mark_in_front_and_line_ends_of_windows(tmp_path: Path) -> None:
    plain = ledger(tmp_path, text_of(GOLDEN))
    backwards = [",".join(reversed(line.split(","))) for line in GOLDEN]
    text = text_of(backwards, reversed(FIXED)).replace("\n", "\r\n")
    assert ledger(tmp_path, b"\xef\xbb\xbf" + text.encode()) == plain
    quoted = ['"' + '","'.join(line.split(",")) + '"' for line in GOLDEN]
    assert ledger(tmp_path, text_of(["", *quoted, "", ""])) == plain


def test_the_time_is_given_back_as_it_was_written(tmp_path: Path) -> None:
    times = ["2026-10-01 00:00:00+01:00", "2026-10-01T00:00Z", "20261001T010000Z"]
    times += ["2026-10-01T02:00:00,5Z", " 2026-10-01t03:00:01Z"]
    lines = [GOLDEN[1].split(",", 1)[1] for _ in times]
    text = text_of(f'"{time}",{rest}' for time, rest in zip(times, lines, strict=True))
    assert [row["time"] for row in ledger(tmp_path, text)] == times


def test_an_unknown_source_leaves_origins_shares_carbon_and_residual_empty(tmp_path: Path) -> None:
    values = {"pv": None, "grid_import": 50.0, "load_it": 50.0, "battery_charge": 10.0}
    (row,) = ledger(tmp_path, text_of([line_of(0, values)]))
    empty = (*ORIGINS, "renewable_share", "carbon_life_cycle_g", "carbon_operational_g")
    assert {row[name] for name in (*empty, "residual_wh", "unmetered_wh")} == {""}
    assert numbers(row, "load_wh", "pue", "completeness") == exactly_all(50, 1, 0.9)
    assert numbers(row, "battery_unknown_wh", "battery_carbon_g") == exactly_all(9, 6.1971)
    assert row["flags"] == "charge_of_unknown_origin missing_value residual_unknown"


def test_an_unknown_source_without_a_load_is_not_zero_either(tmp_path: Path) -> None:
    (row,) = ledger(tmp_path, text_of([line_of(0, {"wind": None, "load_it": 0.0})]))
    assert row["load_wh"] == "0.0"
    assert {row[name] for name in (*ORIGINS, "carbon_life_cycle_g", "renewable_share")} == {""}


def test_an_unknown_sink_keeps_the_mix(tmp_path: Path) -> None:
    values = {"pv": 50.0, "grid_import": 50.0, "load_it": 80.0, "load_cooling": None}
    (row,) = ledger(tmp_path, text_of([line_of(0, values)]))
    assert float(row["renewable_share"]) == exactly(0.5)
    empty = ("load_wh", *ORIGINS, "carbon_life_cycle_g", "pue", "residual_wh")
    assert {row[name] for name in empty} == {""}
    assert float(row["facility_wh"]) == exactly(100)


@pytest.mark.parametrize("column", ["battery_charge", "battery_discharge"])
def test_an_unknown_move_of_the_battery_leaves_its_stock(tmp_path: Path, column: str) -> None:
    site = SITE.replace("initial_wh: 0", "initial_wh: 1000")
    values = {"grid_import": 50.0, "load_it": 50.0}
    lines = [line_of(0, values | {column: None}), line_of(1, values)]
    first, second = ledger(tmp_path, text_of(lines), site=site)
    assert first["renewable_share"] == first["carbon_life_cycle_g"] == first["residual_wh"] == ""
    assert numbers(second, "battery_stock_wh", "battery_carbon_g") == exactly_all(1000, 619.71)
    assert second["flags"] == "battery_stale"
    assert "initial_stock" in first["flags"].split()


def test_a_deficit_is_unknown_and_a_surplus_unmetered(tmp_path: Path) -> None:
    lines = [
        line_of(0, {"pv": 50_000.0, "grid_import": 50_000.0, "load_it": 102_000.0}),
        line_of(1, {"pv": 50_000.0, "grid_import": 50_000.0, "load_it": 98_000.0}),
    ]
    short, over = ledger(tmp_path, text_of(lines))
    assert numbers(short, "unknown_wh", "residual_wh") == exactly_all(2000, -2000)
    assert float(short["renewable_share"]) == exactly(50 / 102)
    assert float(short["intensity_life_cycle_g_per_kwh"]) == exactly((50 * 48 + 52 * 619.71) / 102)
    assert numbers(over, "unmetered_wh", "pv_wh") == exactly_all(2000, 49_000)


def test_a_load_of_zero_has_no_shares_and_no_energy(tmp_path: Path) -> None:
    (row,) = ledger(tmp_path, text_of([line_of(0, {"pv": 10.0, "battery_charge": 10.0})]))
    assert numbers(row, "load_wh", *ORIGINS, "carbon_life_cycle_g") == [0.0] * 8
    assert row["renewable_share"] == row["pue"] == row["grid_share"] == ""
    assert float(row["battery_pv_wh"]) == exactly(9)


def test_a_discharge_beyond_the_stock_is_flagged_but_not_rounding(tmp_path: Path) -> None:
    into = {"pv": 10.0, "battery_charge": 10.0}
    out = {"battery_discharge": 9.0 * (1 + 1e-12), "load_it": 9.0 * (1 + 1e-12)}
    found = ledger(tmp_path, text_of([line_of(0, into), line_of(1, out)]))
    assert found[1]["flags"] == ""
    assert float(found[1]["renewable_share"]) == exactly(1)
    out = {"battery_discharge": 12.0, "load_it": 12.0}
    found = ledger(tmp_path, text_of([line_of(0, into), line_of(1, out)]))
    assert found[1]["flags"] == "discharge_beyond_stock"
    assert numbers(found[1], "unknown_wh", "beyond_wh", "battery_stock_wh") == exactly_all(3, 3, 0)


def test_ramadan_is_a_change_of_offset_and_nothing_else(tmp_path: Path) -> None:
    rest = GOLDEN[1].split(",", 2)[2]
    times = ["2026-02-15T02:58:00+01:00", "2026-02-15T02:59:00+01:00", "2026-02-15T02:00:00+00:00"]
    done = run(tmp_path, text_of(f"{time},60,{rest}" for time in times))
    assert done.exit_code == 0
    found = rows(tmp_path)
    assert [row["flags"].split() for row in found][2] == ["discharge_beyond_stock", "offset_change"]
    assert "gap" not in done.stderr
    assert "offset +01:00 -> +00:00 at line 4 (2026-02-15T02:00:00+00:00)" in done.stderr


def test_a_gap_keeps_the_battery_and_is_reported(tmp_path: Path) -> None:
    lines = [GOLDEN[0], GOLDEN[1].replace("T01:", "T03:")]
    done = run(tmp_path, text_of(lines), "--json")
    assert done.exit_code == 0
    assert rows(tmp_path)[1]["flags"] == "gap_before"
    assert numbers(rows(tmp_path)[1], "battery_stock_wh") == exactly_all(6400)
    gaps = json.loads(done.stdout)["gaps"]
    before = "2026-10-01T03:00:00+01:00"
    assert gaps == {
        "count": 1,
        "seconds": 7200.0,
        "first": [{"line": 3, "before": before, "seconds": 7200.0}],
    }


CLAIMS = (*FIXED, "ppa_pv", "ppa_wind")


def claiming(claims: list[dict[str, float | None]], seconds: int = 900) -> str:
    base = {"pv": 20.0, "load_it": 120.0}
    lines = [line_of(i, base | claim, CLAIMS, seconds) for i, claim in enumerate(claims)]
    return text_of(lines, CLAIMS)


def test_claims_are_no_sources_and_matched_at_most_to_the_import(tmp_path: Path) -> None:
    (row,) = ledger(tmp_path, claiming([{"grid_import": 100.0, "ppa_pv": 30.0}], 3600))
    assert numbers(row, "load_wh", "pv_wh", "grid_wh") == exactly_all(120, 20, 100)
    assert numbers(row, "contracted_wh", "surplus_wh", "residual_wh") == exactly_all(30, 0, 0)
    (row,) = ledger(tmp_path, claiming([{"grid_import": 100.0, "ppa_pv": 130.0}], 3600))
    assert numbers(row, "contracted_wh", "surplus_wh") == exactly_all(100, 30)
    assert float(row["scope_2_g"]) == exactly(100 * 0.55424)


def test_claims_are_matched_per_utc_hour_and_shared_by_import(tmp_path: Path) -> None:
    quarters: list[dict[str, float | None]] = [
        {"grid_import": 10.0, "ppa_pv": 60.0},
        {"grid_import": 30.0, "ppa_wind": 20.0},
        {"grid_import": 0.0},
        {"grid_import": 60.0},
        {"grid_import": 40.0, "ppa_pv": 100.0},  # the next hour
    ]
    found = ledger(tmp_path, claiming(quarters))
    assert [float(row["contracted_wh"]) for row in found] == exactly_all(8, 24, 0, 48, 40)
    assert [float(row["surplus_wh"]) for row in found] == exactly_all(0, 0, 0, 0, 60)


def test_rows_longer_than_an_hour_are_matched_by_themselves(tmp_path: Path) -> None:
    claims: list[dict[str, float | None]] = [
        {"grid_import": 10.0, "ppa_pv": 60.0},
        {"grid_import": 100.0, "ppa_pv": 10.0},
    ]
    found = ledger(tmp_path, claiming(claims, 7200))
    assert [float(row["contracted_wh"]) for row in found] == exactly_all(10, 10)
    assert [float(row["surplus_wh"]) for row in found] == exactly_all(50, 0)


@pytest.mark.parametrize("column", ["ppa_wind", "grid_import"])
def test_an_unknown_claim_or_import_leaves_its_hour_unknown(tmp_path: Path, column: str) -> None:
    known = {"grid_import": 10.0, "ppa_pv": 5.0}
    quarters: list[dict[str, float | None]] = [{**known} for _ in range(5)]
    quarters[2][column] = None
    found = ledger(tmp_path, claiming(quarters))
    assert [row["contracted_wh"] for row in found] == ["", "", "", "", "5.0"]
    shares = [row["renewable_share"] == "" for row in found]
    assert shares == [False, False, column == "grid_import", False, False]
    assert [row["completeness"] == "1.0" for row in found][2] == (column != "grid_import")


def test_campus_and_hydro_are_optional(tmp_path: Path) -> None:
    header = (*FIXED, "load_campus", "hydro")
    values = {"hydro": 60.0, "grid_import": 60.0, "load_it": 80.0, "load_campus": 40.0}
    done = run(tmp_path, text_of([line_of(0, values, header)], header))
    (row,) = rows(tmp_path)
    assert numbers(row, "load_wh", "hydro_wh", "facility_wh") == exactly_all(80, 40, 80)
    assert float(row["carbon_life_cycle_g"]) == exactly(0.08 * (24 + 619.71) / 2)
    assert "default: carbon.factors.hydro.life_cycle: 24 g/kWh (IPCC" in done.stderr


def test_shipped_factors_stand_in_and_are_named_with_their_year(tmp_path: Path) -> None:
    site = "site: {id: a, timezone: Africa/Casablanca, country: MA}\n"
    values = {"grid_import": 100.0, "load_it": 90.0, "battery_charge": 10.0}
    done = run(tmp_path, text_of([line_of(0, values)]), site=site)
    (row,) = rows(tmp_path)
    assert float(row["carbon_life_cycle_g"]) == exactly(0.09 * 619.71)
    assert float(row["carbon_operational_g"]) == exactly(0.09 * 554.24)
    assert float(row["carbon_free_share"]) == exactly(0.215)
    assert float(row["battery_stock_wh"]) == exactly(9.5)
    source = "Electricity Maps, zone MA, yearly average"
    for text in (
        f"carbon.factors.grid.life_cycle: 619.71 g/kWh ({source}, 2024 used for 2026, estimated)",
        "carbon.factors.grid.direct: 554.24 g/kWh",
        "battery.charge_efficiency: 0.95 (the site file has no battery)",
    ):
        assert f"default: {text}" in done.stderr


def test_a_missing_factor_leaves_carbon_empty_and_says_so(tmp_path: Path) -> None:
    site = "site: {id: a, timezone: Africa/Casablanca, country: MA}\n"
    lines = [
        line_of(0, {"grid_import": 100.0, "load_it": 100.0}),
        line_of(1, {"grid_import": 90.0, "genset": 10.0, "load_it": 100.0}),
    ]
    done = run(tmp_path, text_of(lines), site=site)
    without, burning = rows(tmp_path)
    assert float(without["carbon_life_cycle_g"]) == exactly(61.971)
    assert burning["carbon_life_cycle_g"] == burning["carbon_operational_g"] == ""
    assert float(burning["genset_wh"]) == exactly(10)
    assert burning["flags"] == "factor_missing"
    assert "missing: carbon.factors.genset.direct: no value given and none shipped" in done.stderr


def test_a_life_cycle_factor_never_stands_in_for_a_direct_one(tmp_path: Path) -> None:
    site = SITE.replace(", direct: 554.24", "")
    done = run(tmp_path, text_of(GOLDEN), site=site)
    assert {row["carbon_operational_g"] for row in rows(tmp_path)} == {""}
    assert float(rows(tmp_path)[0]["carbon_life_cycle_g"]) == exactly(144 * 181.6775)
    assert "carbon.factors.grid.direct: no value given and none shipped for a site" in done.stderr
    assert "not judged, for want of a factor: operational" in done.stderr


def test_the_summary_forms_ratios_of_sums(tmp_path: Path) -> None:
    done = run(tmp_path, text_of(GOLDEN), "--json")
    found = json.loads(done.stdout)
    ratios = {name: ratio["value"] for name, ratio in found["ratios"].items()}
    assert ratios["pue"] == exactly((149.6 + 144.0) / 240)
    assert ratios["load_per_it"] == exactly(1.2)
    assert ratios["renewable_share"] == exactly((108 + 73) / 288)
    assert ratios["carbon_free_share"] is None
    assert found["sums"]["scope_2_g"] == {"value": exactly(60_966.4), "coverage": 1.0}
    assert found["closed"] is True
    assert {line["series"] for line in found["closing"]} >= {"energy", "pv", "life_cycle"}
    assert all(line["relative_error"] <= 1e-9 for line in found["closing"])
    assert found["battery"]["stock_by_origin_wh"]["pv"] == exactly(3200)
    for text in ("2 rows booked", "PUE           1.2233", "60.966 kg", "the books close"):
        assert text in done.stderr


def test_a_months_residual_has_a_limit_of_its_own(tmp_path: Path) -> None:
    values = {"grid_import": 1003.0, "load_it": 1000.0}
    lines = [line_of(i, values, seconds=3600) for i in range(24)]
    done = run(tmp_path, text_of(lines), "--json")
    (month,) = json.loads(done.stdout)["months"]
    assert (month["month"], month["flagged"]) == ("2026-10", True)
    assert "2026-10: the month's residual is +0.299 % of its sources" in done.stderr
    done = run(tmp_path, text_of(lines[:-1]), "--json")
    assert json.loads(done.stdout)["months"][0]["flagged"] is False


def test_the_ledger_can_go_to_standard_output(tmp_path: Path) -> None:
    expected = run(tmp_path, text_of(GOLDEN)), (tmp_path / "ledger.csv").read_text()
    done = run(tmp_path, text_of(GOLDEN), "--out", "-")
    assert done.exit_code == 0
    assert done.stdout == expected[1]
    assert "2 rows booked" in done.stderr


def test_a_long_file_gives_the_same_lines(tmp_path: Path) -> None:
    """A second process writes them."""
    values = {"pv": 100.1, "grid_import": 1000.7, "load_it": 1100.3, "battery_charge": 0.5}
    lines = [line_of(i, values) for i in range(14_000)]
    assert len(text_of(lines)) > 1_000_000
    short = ledger(tmp_path, text_of(lines[:300]))
    long = ledger(tmp_path, text_of(lines))
    assert long[:300] == short
    assert len(long) == 14_000


def test_a_site_of_several_buses_is_booked_on_one_and_says_so(tmp_path: Path) -> None:
    site = "site: {id: a, timezone: UTC}\nbuses: [{id: north}, {id: south}]\n"
    done = run(tmp_path, text_of([line_of(0, {"grid_import": 1.0, "load_it": 1.0})]), site=site)
    assert "missing: buses: the columns name none, so every row is booked on one" in done.stderr
