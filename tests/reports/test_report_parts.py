# SPDX-License-Identifier: Apache-2.0
"""Laws of the report's parts: statements add up, prices follow the clock, doubts are said."""

import json
from datetime import UTC, date, datetime
from math import fsum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reports.report_books import SITE, at, call, fill

from rackwatt.collector.ledger.chain import Act
from rackwatt.collector.signing.keys import SigningKey
from rackwatt.collector.site import Site, load_site
from rackwatt.reports.boundary import meter_lines, not_in_service
from rackwatt.reports.filing import FileProblem, read_filed
from rackwatt.reports.judging import month_states
from rackwatt.reports.tariff import BadTariff, read_tariff
from rackwatt.reports.tenancy import Tenancy, quarters_in, read_quarter, tenant_lines
from rackwatt.reports.times import BadPeriod, before, month_at, month_span, span_named, year_before

ZONE = ZoneInfo("Africa/Casablanca")
TARIFF = """\
currency: MAD
price_per_kilowatt_hour: 1
bands:
- {name: peak, from: "17:00", to: "22:00", days: [mon], price_per_kilowatt_hour: 2}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(SITE)
    return load_site(path)


def quarter(**loads: float | None) -> str:
    tenants = {
        name: {"kind": "company", "load": load, "it": load, "overhead": 0.0, "gpu_hours": 1.0}
        for name, load in loads.items()
    }
    return json.dumps({"flags": [], "tenants": tenants})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(loads=st.lists(st.floats(0.0, 1e9), min_size=1, max_size=6), retired=st.floats(0.0, 1e9))
def test_certificates_passed_on_never_exceed_those_retired(
    site: Site, loads: list[float], retired: float
) -> None:
    found = Tenancy(1)
    found.take(7, read_quarter(quarter(**{f"t{i}": load for i, load in enumerate(loads)})))
    lines = tenant_lines(found, site, retired, None)
    assert fsum(one.certificates_watt_hours or 0.0 for one in lines) <= retired
    whole = fsum(one.load_watt_hours or 0.0 for one in lines)
    rounded = sum(one.rounded_kilowatt_hours or 0 for one in lines)
    assert abs(rounded - whole / 1000.0) <= 0.5 + 1e-6
    assert found.entry == 7


def test_a_tenant_of_whom_too_little_is_known_has_no_figure(site: Site) -> None:
    found = Tenancy(20)
    for index in range(20):
        load = None if index < 2 else 10.0
        found.take(index, read_quarter(quarter(lab=load, shop=10.0)))
    lab, shop = tenant_lines(found, site, 0.0, None)
    assert (lab.load_watt_hours, shop.load_watt_hours) == (None, 200.0)
    assert (lab.rounded_kilowatt_hours, lab.coverage_ratio) == (None, 0.9)


def test_prices_follow_the_sites_clocks(tmp_path: Path) -> None:
    (tmp_path / "tariff.yaml").write_text(TARIFF)
    tariff = read_tariff(tmp_path / "tariff.yaml")
    for moment, price in {
        "2026-10-05T17:00:00+01:00": 2.0,  # a Monday
        "2026-10-05T22:00:00+01:00": 1.0,
        "2026-10-06T18:00:00+01:00": 1.0,
        "2026-02-16T17:00:00+00:00": 2.0,  # in Ramadan clocks are at UTC
    }.items():
        assert tariff.price(at(moment), ZONE) == price


def test_a_statement_has_its_price(tmp_path: Path) -> None:
    day = ("2026-10-05T00:00:00+01:00", "2026-10-06T00:00:00+01:00")
    books = fill(tmp_path / "books", day, settle=False)
    (tmp_path / "tariff.yaml").write_text(TARIFF)
    out = tmp_path / "out"
    prices = ("--tariff", tmp_path / "tariff.yaml")
    done = call("--month", "2026-10", "--data", books, "--out", out, *prices)
    assert done.exit_code == 0, done.output
    assert "2026-10 is preliminary" in done.output
    report = read_filed(out / "rackwatt-demo-2026-10-en.json").report
    assert {"half_booked", "not_closed", "completeness"} <= {one.code for one in report.reasons}
    # A day of a month is too little for any figure, a price among them.
    assert [one.price for one in report.tenants] == [None, None, None]
    assert {one.currency for one in report.tenants} == {"MAD"}
    untold = call("verify", out / "rackwatt-demo-2026-10-en.json", "--data", books)
    assert (untold.exit_code, "made with a tariff" in untold.output) == (2, True)
    proven = call("verify", out / "rackwatt-demo-2026-10-en.json", "--data", books, *prices)
    assert proven.exit_code == 0, proven.output
    signing = ("sign", out / "rackwatt-demo-2026-10-en.json", "--role", "prepared")
    lost = call(*signing, "--signer", "A", "--key", tmp_path / "none.key")
    assert (lost.exit_code, "there is no file" in lost.output) == (2, True)
    secret = tmp_path / "a.key"
    secret.touch(mode=0o600)
    secret.write_bytes(SigningKey.new().pem)
    refused = call(*signing, "--signer", "A", "--key", secret)
    assert (refused.exit_code, "may not be signed" in refused.output) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("currency: MAD", "price_per_kilowatt_hour"),
        ("currency: dirham\nprice_per_kilowatt_hour: 1", "currency"),
        ("currency: MAD\nprice_per_kilowatt_hour: -1", "price_per_kilowatt_hour"),
        ("[", "is no YAML"),
    ],
)
def test_a_bad_tariff_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tariff.yaml").write_text(text)
    with pytest.raises(BadTariff, match=said):
        read_tariff(tmp_path / "tariff.yaml")


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"document": {}, "signatures": []}'])
def test_a_file_that_is_no_report_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(FileProblem, match=r"report\.json"):
        read_filed(tmp_path / "report.json")


def test_months_by_the_sites_clocks() -> None:
    february = month_span("2026-02", ZONE)
    assert february.hours == 673.0
    assert quarters_in(february.start_ms, february.end_ms) == 673 * 4
    assert (before("2026-01"), before("2026"), year_before("2026-10")) == (
        "2025-12",
        "2025",
        "2025-10",
    )
    for text in ("2026-00", "26-01", "2026-1", "", "99", "0000"):
        with pytest.raises(BadPeriod):
            span_named(text, ZONE)


def test_a_month_that_was_opened_again_is_not_final() -> None:
    def act(seq: int, name: str) -> Act:
        return Act(seq, 0, name, {"month": "2026-10"}, "rackwatt", "")

    acts = [act(1, "month_closed"), act(2, "month_final"), act(3, "month_reopened")]
    assert [one.code for one in month_states([], ["2026-10"])] == ["not_closed"]
    assert month_states(acts[:2], ["2026-10"]) == []
    assert [one.code for one in month_states(acts, ["2026-10"])] == ["not_final"]


def test_a_meter_that_was_not_in_service_all_the_month_is_named(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    since = "state: in_service, state_since: 2026-02-10T00:00:00+01:00, calibration_due: 2026-02-20"
    path.write_text(SITE.replace("{id: g, role: grid,", f"{{id: g, role: grid, {since},"))
    site = load_site(path)
    month = month_span("2026-02", ZONE)
    assert not_in_service(site, month) == ["g"]
    assert not_in_service(site, month_span("2026-03", ZONE)) == []
    lines = {one.id: one for one in meter_lines(site, month, {}, date(2026, 2, 28))}
    assert (lines["g"].in_service, lines["g"].overdue) == (False, True)
    assert (lines["r1-01-pdu"].role, lines["r1-01-pdu"].position) == ("it", "pdu_output")


def test_the_month_that_ended_last_is_by_the_sites_clocks() -> None:
    zone = ZoneInfo("Africa/Casablanca")
    instant = int(datetime(2026, 10, 31, 23, 30, tzinfo=UTC).timestamp() * 1000)
    assert month_at(instant, zone) == "2026-11"
    assert before(month_at(instant, zone)) == "2026-10"
    assert before(month_at(instant, ZoneInfo("UTC"))) == "2026-09"
