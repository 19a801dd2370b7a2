# SPDX-License-Identifier: Apache-2.0
"""What goes wrong when the example site file is edited in a hurry, and what is said."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.cli import app
from rackwatt.collector.site import site_of
from rackwatt.wire.config import ConfigErrors, Document

EXAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "site.yaml").read_text()
AGENT = "agent: {site: a, name: b}\nbroker: {url: c}\nsource: host\nhost: {}\n"


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        site_of(Document("site.yaml", text))
    return [str(error).removeprefix("site.yaml:") for error in caught.value.errors]


def edited(old: str, new: str) -> str:
    assert old in EXAMPLE
    return EXAMPLE.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # a key, at each level
        ("site:\n", "sites:\n", "5: sites: unknown key .*'site'"),
        ("  timezone:", "  timezon:", "8: site.timezon: unknown key .*'timezone'"),
        ("carbon:\n", "carbn:\n", "15: carbn: unknown key .*'carbon'"),
        ("pv: {life", "solar: {life", "18: carbon.factors.solar: unknown key .valid: genset, grid"),
        ("{life_cycle", "{lifecycle", "18: carbon.factors.pv.lifecycle: unknown key .*'life_cyc"),
        ("capacity_wh", "capacity_kwh", "21: battery.capacity_kwh: unknown key .*'capacity_wh'"),
        ("ind, meter:", "ind, metre:", "28: contracts.0..metre: unknown key .*'meter'"),
        ("meters:\n", "metres:\n", "32: metres: unknown key .*'meters'"),
        ("role: grid", "rol: grid", "33: meters.0..rol: unknown key .*'role'"),
        ("    rows:", "    row:", "48: halls.0..row: unknown key .*'rows'"),
        ("inlet: ", "inlt: ", "54: halls.0..rows.0..sensors.inlt: unknown key .*'inlet'"),
        ("hall: hall-a}", "hal: hall-a}", "68: agents.1..hal: unknown key .*'hall'"),
        ("tenants:\n", "tenant:\n", "70: tenant: unknown key .*'tenants'"),
        ("    kind:", "    knd:", "73: tenants.0..knd: unknown key .*'kind'"),
        # a value in another unit or notation
        ("o: 0.215", "o: 21.5", r"16: .*_ratio: expects a ratio 0..1 .did you mean 0.215"),
        ("o: 0.215", "o: 21.5%", r"16: .*_ratio: expects a ratio 0..1 .did you mean 0.215"),
        ("o: 0.215", "o: 0,215", r"16: .*_ratio: expects a ratio 0..1 .did you mean 0.215"),
        ("o: 0.215", "o: 1..5 %", r"16: .*_ratio: expects a ratio 0..1, got '1..5 %'"),
        ("le: 48}", "le: 48 g/kWh}", "18: carbon.factors.pv.life_cycle: "),
        ("le: 48}", "le: 48000}", "18: carbon.factors.pv.life_cycle: "),
        ("1000000", "1 MWh", "21: battery.capacity_wh: expects a number of Wh .*1000000"),
        ("1000000", "'1,5 MWh'", "21: battery.capacity_wh: expects a number of Wh .*1500000"),
        ("1000000", "1.000.000", "21: battery.capacity_wh: expects a number of Wh, got"),
        ("y: 0.95", "y: 95", "21: battery.charge_efficiency: expects a ratio .*0.95"),
        ("initial_wh: 0", "initial_wh: 2000000", "21: battery.initial_wh: is more than capacity"),
        ("class: 0.5", "class: 0.5%", "33: meters.0..class: expects an accuracy .*mean 0.5.?"),
        ("class: 0.5", "class: '0,5'", "33: meters.0..class: expects an accuracy .*mean 0.5.?"),
        ("class: 0.5", "class: 0.5.5", "33: meters.0..class: expects an accuracy class"),
        ("class: 0.5", "class: 0.005", "33: meters.0..class: .*did you mean 0.5"),
        ("class: 0.5", "class: .nan", "33: meters.0..class: "),
        ("cadence: 1s", "cadence: 1 second", "33: meters.0..cadence: a duration must be a number"),
        ("latitude: 35.57", "latitude: 355.7", "10: site.latitude: "),
        # a name
        ("Africa/Casablanca", "Casablanca", "8: site.timezone: .*'Africa/Casablanca'"),
        ("Africa/Casablanca", "Europe/Casablanca", "8: site.timezone: .*'Africa/Casablanca'"),
        ("Africa/Casablanca", "Mars/Base 1", "8: site.timezone: unknown time zone 'Mars/Base 1'"),
        ("country: MA ", "country: ma ", "9: site.country: .*did you mean 'MA'"),
        ("country: MA ", "country: Moroco ", "9: site.country: .*did you mean 'MA'"),
        ("country: MA ", "country: ZZ ", "9: site.country: .*like MA for Morocco or FR"),
        ("id: demo ", "id: de mo ", "6: site.id: site 'de mo' must be 1 to 100"),
        ("id: demo ", "id: 2026 ", "6: site.id: "),
        ("role: cooling", "role: colling", "42: meters.7..role: .*did you mean 'cooling'"),
        ("position: pdu_output", "position: pdu", "39: meters.5..position: "),
        ("claim: ppa_wind", "claim: wind", "28: contracts.0..claim: .*did you mean 'ppa_wind'"),
        ("meter: ppa-wind-1", "meter: grid-1", "28: contracts.0..meter: meter 'grid-1' has the"),
        ("sum: [ups-1]", "sum: [usp-1]", "40: meters.6..sum: unknown meter 'usp-1' .*'ups-1'"),
        ("hall: hall-a}", "hall: hall-b}", "68: agents.1..hall: unknown hall 'hall-b' .*'hall-a'"),
        ('"r1-[01-02]"', '"r1-[01-20]"', "76: .*racks: unknown rack 'r1-09' and 11 more"),
        # twice, missing, in a circle
        ("id: pv-1", "id: grid-1", "34: meters.1..id: meter 'grid-1' stands twice .* line 33"),
        ("[ups-1], minus: [it]", "[ups-1, it]", "40: meters.6.: .* is counted twice: in 'it'"),
        ("[ups-1], minus: [it]", "[losses]", "40: meters.6.: made of itself: losses -> losses"),
        ("{id: it, role: it", "{id: it", "32: meters: no meter has the role 'it'"),
        ('racks: "r2-', 'racks: "r1-', "56: .*racks: rack 'r1-01' .and 7 more. stands twice"),
        ('"{rack}-n[1-2]"', '"n[1-2]"', "51: .*nodes: node 'n1' .* in two racks: r1-01"),
        ("name: snmp-hall-a", "name: modbus-site", "68: agents.1..name: .* stands twice: .* 67"),
        ("water-1]", "cdu-a1]", "63: devices: device 'cdu-a1' stands twice: as device on line 61"),
        ("\nbattery:", "\nsite: {id: x}\nbattery:", "21: site: stands twice"),
        # times
        ("-01T00:00:00+01:00}", "-01T00:00:00}", "43: meters.8..valid_from: has no offset"),
        ("-01T00:00:00+01:00}", "-01}", "43: meters.8..valid_from: has no offset"),
        ("2026-01-01T00:00:00+01:00}", "01/02/2026}", "43: meters.8..valid_from: expects a time"),
        ("01-01T00:00:00+01:00}", "13-01T00:00:00+01:00}", "43: meters.8..valid_from: unreadable"),
        # patterns and YAML
        ("r1-[01-08]-pdu", "r1-[08-01]-pdu", "39: meters.5..sum.0.: .* runs backwards"),
        ("r1-[01-08]-pdu", "r1-[01-08-pdu", "39: meters.5..sum.0.: .* has no partner"),
        ('"{rack}-n', '"{rak}-n', "51: .*nodes: .*unknown placeholder {rak} .*'rack'"),
        ("meters:\n", "meters:\n\t- {id: x}\n", "33: broken YAML"),
    ],
)
def test_a_mistake_is_named_where_it_stands(old: str, new: str, expected: str) -> None:
    found = errors(edited(old, new))
    assert any(re.match(expected, error) for error in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: site: is missing"),
        ("hello", "1: must be a mapping"),
        ("- a", "1: must be a mapping"),
        ("site: demo\n", "1: site: "),
        ("site: {id: a, timezone: UTC}\nmeters:\n", "2: meters: "),
        ("site: {id: a, timezone: UTC}\nmeters: [{id: g, role: grid}]\n", "2: meters: no meter"),
        (AGENT, "1: agent: unknown key .did you mean 'agents'"),
    ],
)
def test_what_is_no_site_file_is_refused(text: str, expected: str) -> None:
    found = errors(text)
    assert any(re.match(expected, error) for error in found), found


def test_mistakes_of_all_kinds_are_told_at_once() -> None:
    text = EXAMPLE
    for old, new in [
        ("o: 0.215", "o: 21.5%"),
        ("1000000", "1 MWh"),
        ("role: cooling", "role: coling"),
        ("hall: hall-a}", "hall: hall-z}"),
        ("sum: [ups-1]", "sum: [ups-9]"),
        ("    kind:", "    knd:"),
    ]:
        text = text.replace(old, new)
    assert [error.split(": ")[1] for error in errors(text)] == [
        "carbon.grid_carbon_free_ratio",
        "battery.capacity_wh",
        "meters[6].sum",
        "meters[7].role",
        "agents[1].hall",
        "tenants[0].kind",
        "tenants[0].knd",
    ]


def test_files_that_cannot_be_read_end_with_two(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    for name in ("absent.yaml", ".", "binary.yaml"):
        result = CliRunner().invoke(app, ["site", "check", str(tmp_path / name)])
        assert result.exit_code == 2
        assert "cannot be read" in result.stderr
        assert "Traceback" not in result.stderr
