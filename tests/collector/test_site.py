# SPDX-License-Identifier: Apache-2.0
"""The site file: what it means, and what its checks refuse."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.site import Placement, Site, Term, check, load_site, site_of
from rackwatt.collector.site.cli import site_app
from rackwatt.wire.config import Document

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NOW = 1_790_000_000_000

HEAD = "site: {id: demo, timezone: Africa/Casablanca, country: MA}\n"
METERS = """\
meters:
  - {id: grid-1, role: grid, class: 0.5}
  - {id: pv-1, role: pv, class: 0.2S}
  - {id: ups-1}
  - {id: it, role: it, position: pdu_output, sum: ["r1-[1-2]-pdu-[a-b]"]}
  - {id: losses, role: losses, sum: [ups-1], minus: [it]}
"""
HALLS = """\
halls:
  - id: hall-a
    rows:
      - id: row-1
        racks: "r1-[1-2]"
        nodes: "{rack}-n[1-2]"
        pdus: "{rack}-pdu-[a-b]"
        sensors: {inlet: "{rack}-in"}
    devices: [cdu-1]
"""
GOOD = HEAD + METERS + HALLS


def site(text: str) -> Site:
    return site_of(Document("site.yaml", text))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


# --- what it means ----------------------------------------------------------------------


def test_devices_are_found_where_they_stand() -> None:
    found = site(HEAD + METERS + HALLS + "devices: [weather-1]\n")
    rack = Placement("hall-a", "row-1", "r1-2")
    for device in ("r1-2-n1", "r1-2-n1/GPU-123", "r1-2-pdu-b", "r1-2-in"):
        assert found.place(device, NOW) == rack
    assert found.place("cdu-1", NOW) == Placement("hall-a")
    for device in ("weather-1", "grid-1", "ups-1"):
        assert found.place(device, NOW) == Placement("site")
    for device in ("it", "nobody", "nobody/GPU-1", "r1-3-n1"):
        assert found.place(device, NOW) is None


def test_racks_hold_what_their_row_says() -> None:
    first, second = site(HEAD + METERS + HALLS).racks
    assert (first.id, first.row, first.hall) == ("r1-1", "row-1", "hall-a")
    assert first.nodes == ("r1-1-n1", "r1-1-n2")
    assert second.pdus == ("r1-2-pdu-a", "r1-2-pdu-b")
    assert second.sensors == {"inlet": "r1-2-in"}


def test_virtual_meters_are_expanded_to_physical_terms() -> None:
    terms = site(HEAD + METERS + HALLS).terms_at(NOW)
    pdus = ["r1-1-pdu-a", "r1-1-pdu-b", "r1-2-pdu-a", "r1-2-pdu-b"]
    assert terms.roles["grid"] == (Term("grid-1", 1),)
    assert terms.roles["it"] == tuple(Term(name, 1) for name in pdus)
    assert terms.roles["losses"] == (Term("ups-1", 1), *(Term(name, -1) for name in pdus))
    assert set(terms.roles) == {"grid", "pv", "it", "losses"}
    assert terms.pue_category == 2


def test_meters_carry_class_and_defaults() -> None:
    found = site(HEAD + METERS + HALLS.replace("pdus:", "pdu_class: 2\n        pdus:"))
    meters = found.meters_at(NOW)
    assert meters["pv-1"].accuracy == 0.2
    assert meters["ups-1"].accuracy == 1.0
    assert meters["r1-1-pdu-a"].accuracy == 2.0
    assert meters["it"].virtual
    assert not meters["grid-1"].virtual


@pytest.mark.parametrize(
    ("positions", "category"),
    [
        (["it_input"], 3),
        (["it_input", "ups_output"], 1),
        (["it_input", None], None),
    ],
)
def test_a_mixed_site_takes_its_weakest_pue_category(
    positions: list[str | None], category: int | None
) -> None:
    lines = [
        f"  - {{id: it-{n}, role: it{f', position: {position}' if position else ''}}}\n"
        for n, position in enumerate(positions)
    ]
    found = site(HEAD + "meters:\n  - {id: grid-1, role: grid}\n" + "".join(lines))
    assert found.terms_at(NOW).pue_category == category


def test_meters_change_at_their_dates() -> None:
    found = site(
        HEAD + "meters:\n"
        "  - {id: it-1, role: it}\n"
        "  - {id: main, role: grid, class: 1, valid_to: 2026-03-01T00:00:00+01:00}\n"
        "  - {id: main, role: grid, class: 0.2, valid_from: 2026-03-01T00:00:00+01:00}\n"
        "  - {id: pv-1, role: pv, valid_from: 2026-06-01T00:00:00Z}\n"
    )
    change = ms("2026-03-01T00:00:00+01:00")
    assert found.meters_at(change - 1)["main"].accuracy == 1.0
    assert found.meters_at(change)["main"].accuracy == 0.2
    assert "pv" not in found.terms_at(ms("2026-05-31T23:59:59.999+00:00")).roles
    assert "pv" in found.terms_at(ms("2026-06-01T00:00:00+00:00")).roles
    assert found.place("pv-1", 0) == Placement("site")


def test_a_row_can_be_replaced_at_a_date() -> None:
    row = "      - {{id: {row}, racks: {rack}, nodes: n1, {when}: 2026-03-01T00:00:00Z}}\n"
    found = site(
        HEAD
        + "halls:\n  - id: hall-a\n    rows:\n"
        + row.format(row="old", rack="r1", when="valid_to")
        + row.format(row="new", rack="r1", when="valid_from")
    )
    change = ms("2026-03-01T00:00:00+00:00")
    assert found.place("n1", change - 1) == Placement("hall-a", "old", "r1")
    assert found.place("n1/GPU-0", change) == Placement("hall-a", "new", "r1")
    assert [rack.row for rack in found.racks_at(change)] == ["new"]


def test_agents_belong_to_halls_and_nodes_to_their_own() -> None:
    found = site(HEAD + HALLS + "agents: [{name: snmp-a, hall: hall-a}, {name: m, hall: site}]\n")
    assert found.hall_of_agent("snmp-a") == "hall-a"
    assert found.hall_of_agent("m") == "site"
    assert found.hall_of_agent("r1-1-n2") == "hall-a"
    assert found.hall_of_agent("stranger") is None
    assert found.halls_ids == ("site", "hall-a")


def test_factors_come_from_the_file_over_the_shipped_ones() -> None:
    carbon = site(HEAD + "carbon: {factors: {grid: {life_cycle: 500}}}\n").carbon
    assert carbon.factor("grid", "life_cycle") == 500
    assert carbon.factor("grid", "direct") == 554.24
    assert carbon.factor("pv", "life_cycle") == 48
    assert carbon.factor("pv", "direct") == 0
    assert carbon.factor("genset", "direct") is None
    assert carbon.factor("residual", "direct") is None
    assert carbon.grid_carbon_free_ratio == 0.215


def test_a_country_without_figures_stays_unknown() -> None:
    """A life-cycle factor never stands in for a missing direct one."""
    carbon = site(
        "site: {id: demo, timezone: Europe/Paris, country: FR}\n"
        "carbon: {factors: {grid: {life_cycle: 40}}}\n"
    ).carbon
    assert carbon.factor("grid", "direct") is None
    assert carbon.grid_carbon_free_ratio is None


def test_shipped_factors_are_these() -> None:
    """A change of a factor must be seen in a review."""
    carbon = site(HEAD).carbon
    assert {
        (name, scope, value.value, value.year, value.estimated)
        for name, factor in carbon.factors.items()
        for scope, value in (("life_cycle", factor.life_cycle), ("direct", factor.direct))
        if value is not None
    } == {
        ("pv", "life_cycle", 48.0, None, False),
        ("pv", "direct", 0.0, None, False),
        ("wind", "life_cycle", 11.0, None, False),
        ("wind", "direct", 0.0, None, False),
        ("hydro", "life_cycle", 24.0, None, False),
        ("hydro", "direct", 0.0, None, False),
        ("grid", "life_cycle", 619.71, 2024, True),
        ("grid", "direct", 554.24, 2022, True),
    }


def test_battery_defaults_are_told() -> None:
    found = site(HEAD + METERS + "  - {id: battery-1, role: battery}\n" + HALLS)
    assert found.battery is not None
    assert found.battery.charge_efficiency == 0.95
    assert "battery.charge_efficiency: 0.95" in found.defaults
    assert site(HEAD).battery is None


def test_the_examples_are_good() -> None:
    text = check(EXAMPLES / "site.yaml")
    assert "1 hall, 2 rows, 16 racks, 32 nodes, 32 PDUs, 32 sensors" in text
    assert "PUE category 2" in text
    found = load_site(EXAMPLES / "import-site.yaml")
    assert found.battery is not None
    assert found.battery.charge_efficiency == 0.9
    assert found.carbon.factor("genset", "direct") == 766
    assert "good for import only" in check(EXAMPLES / "import-site.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    assert load_site(path).id in check(path)


def test_every_csv_of_the_examples_belongs_to_one() -> None:
    named = {name for path in EXAMPLES.glob("*.yaml") for name in load_site(path).files}
    tables = {path.name for path in EXAMPLES.glob("*.csv")}
    assert tables - named == {"import-flows.csv"}  # of `rackwatt ledger import`


def test_a_site_of_full_size_loads_in_three_seconds(tmp_path: Path) -> None:
    """2,540 racks and 45,720 nodes, each rack written out: the slowest way to write it."""
    lines = [HEAD, "halls:\n"]
    for hall in range(10):
        lines.append(f"  - id: hall-{hall}\n    rows:\n")
        for rack in range(254):
            name = f"h{hall}-{rack}"
            nodes = ", ".join(f"{name}-n{n}" for n in range(18))
            lines.append(
                f"      - {{id: row-{rack}, racks: {name}, nodes: [{nodes}],"
                f" pdus: '{{rack}}-pdu-[a-b]'}}\n"
            )
    path = tmp_path / "site.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    begin = time.process_time()
    found = load_site(path)
    seconds = time.process_time() - begin
    assert len(found.racks) == 2540
    assert len(found.node_racks) == 45_720
    assert seconds < 3.0


# --- the commands -----------------------------------------------------------------------


def test_check_prints_a_summary_or_exits_with_two(tmp_path: Path) -> None:
    good = CliRunner().invoke(site_app, ["check", str(EXAMPLES / "site.yaml")])
    assert good.exit_code == 0
    assert "16 racks" in good.stdout
    path = tmp_path / "site.yaml"
    path.write_text(GOOD.replace("role: grid", "roel: grid"), encoding="utf-8")
    bad = CliRunner().invoke(site_app, ["check", str(path)])
    assert bad.exit_code == 2
    assert bad.stdout == ""
    assert f"{path}:3: meters[0].roel: unknown key (did you mean 'role'?)\n" in bad.stderr


def test_show_tells_place_and_meaning(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD, encoding="utf-8")
    shown = CliRunner().invoke(site_app, ["show", str(path), "r1-1-pdu-a"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "r1-1-pdu-a: hall-a / row-1 / r1-1",
        "meter: class 1 %",
        "counted in role it",
        "taken off role losses",
    ]
    unknown = CliRunner().invoke(site_app, ["show", str(path), "r1-1-pdu-x"])
    assert unknown.exit_code == 2
    assert "did you mean" in unknown.stderr


def test_local_time_follows_ramadan() -> None:
    """Morocco leaves UTC+1 for UTC during Ramadan."""
    found = site(HEAD)
    assert found.local(ms("2026-02-15T01:59:00+00:00")).isoformat() == "2026-02-15T02:59:00+01:00"
    moment = datetime(2026, 2, 15, 2, 0, tzinfo=UTC)
    assert found.local(round(moment.timestamp() * 1000)).isoformat() == "2026-02-15T02:00:00+00:00"
