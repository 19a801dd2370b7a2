# SPDX-License-Identifier: Apache-2.0
"""CSV files beside the site file: factor series, certificates, and the small sections."""

from pathlib import Path

import pytest

from rackwatt.collector.ledger import site_factors
from rackwatt.collector.site import load_site
from rackwatt.wire.config import ConfigErrors

SITE = "site: {id: s, timezone: UTC, country: MA}\n"
HOUR = 3_600_000
FACTORS = """\
item,scope,from,to,value,type,estimated,source
grid,life_cycle,1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,500,average,no,TSO
grid,direct,1970-01-01T01:00:00+01:00,1970-01-01T01:00:00Z,450,marginal,yes,TSO
grid_carbon_free,,1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,0.5,,,
"""
CERTIFICATES = """\
registry,serial,source,from,to,wh,retired_on,beneficiary
I-REC,1-1000,wind,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,1000000,2026-11-05T00:00:00Z,Campus
I-REC,1001-2000,pv,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,1000000,,
"""


def written(folder: Path, site: str, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    path = folder / "site.yaml"
    path.write_text(SITE + site, encoding="utf-8")
    return path


def errors(path: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_site(path)
    return str(caught.value).replace(str(path.parent) + "/", "")


def test_series_come_before_the_shipped_factors_while_they_hold(tmp_path: Path) -> None:
    path = written(tmp_path, "carbon: {series: factors.csv}\n", factors=FACTORS)
    factors = site_factors(load_site(path))
    within, after = factors.at(0), factors.at(HOUR)
    assert within.grid == {"life_cycle": 500.0, "operational": 450.0}
    assert within.intensity["life_cycle"]["unknown"] == 500.0
    assert within.grid_carbon_free_ratio == 0.5
    assert after.grid == {"life_cycle": 610.67, "operational": 554.24}
    assert after.grid_carbon_free_ratio == 0.215
    line = factors.find("grid", "direct", 0)
    assert line is not None
    assert (line.source, line.type, line.estimated, line.year) == ("TSO", "marginal", True, 1970)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("value", "valu", "factors.csv:1: value: column is missing (did you mean 'valu'?)"),
        ("source", "sorce", "factors.csv:1: sorce: unknown column (did you mean 'source'?)"),
        ("grid,life", "gird,life", "factors.csv:2: item: unknown item 'gird' (did you mean 'grid'"),
        (",500,", ",5OO,", "factors.csv:2: value: no number: '5OO'"),
        (",500,", ",nan,", "factors.csv:2: value: must be from 0 to 5000, not nan"),
        (",0.5,", ",21.5,", "factors.csv:4: value: must be from 0 to 1, not 21.5"),
        ("00:00:00Z", "00:00:00", "factors.csv:2: from: '1970-01-01T00:00:00' has no offset"),
        ("1970-01-01T01:00:00Z,500", "noon,500", "factors.csv:2: to: no time: 'noon'"),
        ("T01:00:00Z,500", "T00:00:00Z,500", "factors.csv:2: to: must be later than from"),
        (",average,no", ",mean,no", "factors.csv:2: type: unknown type 'mean'"),
        (",average,no", ",average,maybe", "factors.csv:2: estimated: unknown estimated 'maybe'"),
        (",average,no,TSO", ",average", "factors.csv:2: has 6 cells, the header 8"),
        ("grid,direct", "grid,life_cycle", "factors.csv:3: from: overlaps line 2 of factors.csv"),
        ("grid_carbon_free,,", "grid_carbon_free,life_cycle,", "factors.csv:4: scope: grid_carb"),
    ],
)
def test_a_wrong_series_names_line_and_column(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in FACTORS
    changed = FACTORS.replace(old, new, 1)
    path = written(tmp_path, "carbon: {series: factors.csv}\n", factors=changed)
    assert expected in errors(path)


def test_a_missing_table_names_the_key_in_the_site_file(tmp_path: Path) -> None:
    said = errors(written(tmp_path, "carbon:\n  series:\n  - factors.csv\n"))
    assert said.startswith("site.yaml:4: carbon.series[0]: ")
    assert "No such file" in said


def test_certificates_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "certificates: c.csv\n", c=CERTIFICATES)
    retired, kept = load_site(path).certificates
    assert (retired.serial, retired.source, retired.beneficiary) == ("1-1000", "wind", "Campus")
    assert retired.watt_hours == 1e6
    assert retired.end_ms - retired.start_ms == 31 * 24 * HOUR
    assert retired.retired_ms is not None
    assert kept.retired_ms is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1001-2000", "1-1000", "c.csv:3: serial: '1-1000' stands twice: see line 2"),
        (",wind,", ",coal,", "c.csv:2: source: unknown source 'coal'"),
        ("2026-11-05T00:00:00Z,Campus", ",Campus", "c.csv:2: retired_on: a certificate with a ben"),
        ("I-REC,1-", ",1-", "c.csv:2: registry: is empty"),
        ("-11-01T00:00:00Z,1", "-09-01T00:00:00Z,1", "c.csv:2: to: must be later than from"),
        ("beneficiary", "contract", "c.csv:2: contract: unknown contract 'Campus'"),
    ],
)
def test_a_wrong_certificate_names_line_and_column(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in CERTIFICATES
    path = written(tmp_path, "certificates: c.csv\n", c=CERTIFICATES.replace(old, new, 1))
    assert expected in errors(path)


def test_settlement_balance_and_cap(tmp_path: Path) -> None:
    text = (
        "settlement: {window: 15m, subscribed_watts: 1.0e+8}\n"
        "balance: {residual_limit_ratio: 0.003}\nsupply: {export_cap_ratio: 0.2}\n"
    )
    site = load_site(written(tmp_path, text))
    assert site.settlement is not None
    assert (site.settlement.window_seconds, site.settlement.subscribed_watts) == (900.0, 1e8)
    assert (site.residual_limit_ratio, site.export_cap_ratio) == (0.003, 0.2)
    plain = load_site(written(tmp_path, ""))
    assert (plain.settlement, plain.residual_limit_ratio, plain.export_cap_ratio) == (
        None,
        0.002,
        None,
    )


def test_a_settlement_window_that_no_utility_has(tmp_path: Path) -> None:
    said = errors(written(tmp_path, "settlement: {window: 7m}\n"))
    assert said == "site.yaml:2: settlement.window: must be 10m, 15m or 30m"
