# SPDX-License-Identifier: Apache-2.0
"""What the checks of a site file refuse, and how they say it."""

import re
from pathlib import Path

import pytest

from rackwatt.collector.site import Site, Term, load_site, site_of
from rackwatt.wire.config import ConfigErrors, Document

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


def site(text: str) -> Site:
    return site_of(Document("site.yaml", text))


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        site(text)
    return [str(error) for error in caught.value.errors]


GOOD = HEAD + METERS + HALLS


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("role: grid", "roel: grid", 3, "meters[0].roel", "unknown key.*did you mean 'role'"),
        ("role: pv", "role: pb", 4, "meters[1].role", "did you mean 'pv'"),
        ("pdu_output", "pdu_out", 6, "meters[3].position", "did you mean 'pdu_output'"),
        ("inlet:", "inlett:", 15, "halls[0].rows[0].sensors.inlett", "did you mean 'inlet'"),
        ("class: 0.5", "class: 0.005", 3, "meters[0].class", "did you mean 0.5"),
        ("class: 0.5", "class: good", 3, "meters[0].class", "like 0.5 or 0.2S"),
        ("class: 0.5", "cadence: fast", 3, "meters[0].cadence", "a number with a unit"),
        ("sum: [ups-1]", "sum: [usp-1]", 7, "meters[4].sum", "unknown meter 'usp-1'.*'ups-1'"),
        ("r1-[1-2]-pdu", "r1-[1-3]-pdu", 6, "meters[3].sum", "'r1-3-pdu-a' and 1 more"),
        ("r1-[1-2]-pdu", "r1-[2-1]-pdu", 6, "meters[3].sum", "runs backwards"),
        ("role: it", "role: other", 2, "meters", "no meter has the role 'it'"),
        ("Africa/Casablanca", "Africa/Casablance", 1, "site.timezone", "'Africa/Casablanca'"),
        ("country: MA", "country: Morocco", 1, "site.country", "did you mean 'MA'"),
        ("country: MA", "country: ma", 1, "site.country", "did you mean 'MA'"),
        ("id: demo", "id: de/mo", 1, "site.id", "must be 1 to 100 letters"),
        ("id: hall-a", "id: site", 9, "halls[0].id", "choose another"),
        ("{rack}-n", "{rak}-n", 13, "halls[0].rows[0].nodes", "{rak}.*'rack'"),
        ("{rack}-n[1-2]", "node-[1-2]", 13, "halls[0].rows[0].nodes", "two racks: r1-1.* r1-2"),
        ("[cdu-1]", "[r1-1-n1]", 16, "halls[0].devices", "stands twice: as node on line 13"),
        ("[cdu-1]", "[cdu-1, cdu-1]", 16, "halls[0].devices", "give 'cdu-1' twice"),
        ("id: ups-1", "id: grid-1", 5, "meters[2].id", "at the same time: see line 3"),
        ("id: losses", "id: cdu-1", 7, "meters[4].id", "has the name of a device"),
        ("id: losses", "id: losses, class: 1", 7, "meters[4].class", "its members' classes"),
        ("role: pv", "role: pv, position: it_input", 4, "meters[1].position", "role 'it' only"),
        ("minus: [it]", "minus: [ups-1]", 7, "meters[4].minus", "stands in sum too"),
        ("role: pv", "role: pv, hall: hall-b", 4, "meters[1].hall", "did you mean 'hall-a'"),
        ("minus: [it]", "minus: [losses]", 7, "meters[4]", "made of itself: losses -> losses"),
        (
            "role: losses, sum: [ups-1], minus: [it]",
            "role: cooling, sum: [r1-1-pdu-a]",
            7,
            "meters[4]",
            r"'r1-1-pdu-a' is counted twice: in 'it' \(line 6\) and in 'losses'",
        ),
        (
            "id: ups-1}",
            "id: ups-1, valid_from: 2026-01-01T00:00:00}",
            5,
            "meters[2].valid_from",
            "no offset",
        ),
        (
            "id: ups-1}",
            "id: ups-1, valid_from: 2026-02-01T00:00:00Z, valid_to: 2026-01-01T00:00:00Z}",
            5,
            "meters[2].valid_to",
            "later than valid_from",
        ),
        ("- {id: pv-1", "- {id: [pv-1", 4, "", "broken YAML"),
        ("class: 0.5", "id: grid-2", 3, "id", "stands twice"),
    ],
)
def test_an_error_names_line_key_and_remedy(
    old: str, new: str, line: int, key: str, message: str
) -> None:
    assert GOOD.count(old) >= 1
    found = errors(GOOD.replace(old, new, 1))
    head = f"site.yaml:{line}:" + (f" {key}:" if key else "")
    assert [text for text in found if text.startswith(head) and re.search(message, text)], found


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("battery: {charge_efficiency: 95}", "did you mean 0.95"),
        ("battery: {charge_efficiency: 90 %}", "did you mean 0.9"),
        ("battery: {charge_efficiency: 0}", "must be more than 0"),
        ("battery: {capacity_wh: -5}", "must be at least 0"),
        ("battery: {capacity_wh: 1.5 MWh}", "did you mean 1500000"),
        ("battery: {capacity_wh: true}", "expects a number of Wh"),
        ("battery: {capacity_wh: 10, initial_wh: 20}", "more than capacity_wh"),
        ("battery: {capacity: 10}", "did you mean 'capacity_wh'"),
        ("carbon: {grid_carbon_free_ratio: 21.5}", "did you mean 0.215"),
        ("carbon: {factors: {pvv: {life_cycle: 1}}}", "did you mean 'pv'"),
        ("carbon: {factors: {pv: {lifecycle: 1}}}", "did you mean 'life_cycle'"),
        ("supply: {pv: {attributes: retain}}", "did you mean 'retained'"),
        ("supply: {sun: {attributes: sold}}", "unknown key"),
        ("contracts: [{id: a, claim: ppa_win, meter: m}]", "did you mean 'ppa_wind'"),
        ("contracts: [{id: a, claim: ppa_pv, meter: pv-1}]", "never a source"),
        (
            "contracts: [{id: a, claim: ppa_pv, meter: m}, {id: b, claim: ppa_wind, meter: m}]",
            "serves two contracts",
        ),
        (
            "contracts: [{id: a, claim: ppa_pv, meter: m}, {id: a, claim: ppa_wind, meter: n}]",
            "stands twice at the same time",
        ),
        ("agents: [{name: a, hall: hall-b}]", "unknown hall 'hall-b'.*'hall-a'"),
        ("agents: [{name: a, hall: site}, {name: a, hall: site}]", "stands twice"),
        ("agents: [{name: r1-1-n1, hall: site}]", "stands in hall 'hall-a'"),
        ("tenants: [{id: t, kind: startup}]", "did you mean 'start-up'"),
        ("tenants: [{id: t, kind: company, country: XX}]", "unknown country"),
        (
            "tenants: [{id: t, kind: company, assignments: [{nodes: r1-1-n9}]}]",
            "unknown node 'r1-1-n9'",
        ),
        ("tenants: [{id: t, kind: company, assignments: [{}]}]", "assigns nothing"),
        (
            (
                "tenants: [{id: t, kind: company, assignments: [{racks: r1-1}]}, "
                "{id: u, kind: company, assignments: [{nodes: r1-1-n2}]}]"
            ),
            "'r1-1-n2' is assigned to 't' at the same time",
        ),
        ("halls2: []", "did you mean 'halls'"),
    ],
)
def test_other_sections_are_checked_too(tail: str, message: str) -> None:
    found = errors(f"{GOOD}{tail}\n")
    assert len(found) == 1, found
    assert found[0].startswith("site.yaml:17: ")
    assert re.search(message, found[0]), found


def test_the_same_node_in_two_rows_is_one_error() -> None:
    row = "      - {id: row-2, racks: r2-1, nodes: 'r1-[1-2]-n[1-2]'}\n"
    found = errors(GOOD.replace("    devices:", f"{row}    devices:"))
    assert found == [
        (
            "site.yaml:16: halls[0].rows[1].nodes: node 'r1-1-n1' (and 3 more) stands in two racks:"
            " r1-1 (line 13) and r2-1"
        )
    ]


def test_the_same_rack_in_two_rows_is_one_error() -> None:
    row = "      - {id: row-2, racks: 'r1-[1-2]', nodes: '{rack}-n[1-2]'}\n"
    found = errors(GOOD.replace("    devices:", f"{row}    devices:"))
    assert found == [
        "site.yaml:16: halls[0].rows[1].racks: rack 'r1-1' (and 1 more) stands twice: see line 12"
    ]


def test_slips_and_broken_rules_are_told_in_one_run() -> None:
    text = (
        GOOD.replace("role: grid", "roel: grid")
        .replace("role: pv", "role: pb")
        .replace("sum: [ups-1]", "sum: [usp-1]")
        .replace("id: ups-1}", "id: ups-1, valid_from: 2026-01-01T00:00:00}")
    )
    found = errors(text + "battery: {charge_efficiency: 95}\nagents: [{name: a, hall: hall-b}]\n")
    assert [re.findall(r"site.yaml:(\d+)", text)[0] for text in found] == [
        "3", "4", "5", "7", "17", "18",
    ]  # fmt: skip


def test_a_site_with_meters_needs_a_source() -> None:
    assert "a source's role" in errors(HEAD + "meters: [{id: it-1, role: it}]\n")[0]


def test_a_longer_cycle_is_named_whole() -> None:
    text = GOOD.replace(
        "  - {id: ups-1}\n",
        "  - {id: ups-1}\n  - {id: a, sum: [b]}\n  - {id: b, sum: [c]}\n  - {id: c, sum: [a]}\n",
    )
    assert errors(text) == ["site.yaml:6: meters[3]: made of itself: a -> b -> c -> a"]


def test_a_meter_counted_through_two_virtual_meters_is_found() -> None:
    text = GOOD.replace(
        "  - {id: ups-1}\n", "  - {id: ups-1}\n  - {id: part, sum: [r1-1-pdu-a, r1-1-pdu-b]}\n"
    ).replace("role: losses, sum: [ups-1]", "role: losses, sum: [ups-1, part]")
    # Added through `part` and taken off through `it`: it cancels, and counts nowhere twice.
    assert site(text).terms_at(NOW).roles["losses"] == (
        Term("ups-1", 1),
        Term("r1-2-pdu-a", -1),
        Term("r1-2-pdu-b", -1),
    )
    twice = text.replace('sum: ["r1-[1-2]-pdu-[a-b]"]', "sum: [part, r1-1-pdu-a]").replace(
        ", minus: [it]", ""
    )
    assert any("'r1-1-pdu-a' is counted twice in 'it'" in error for error in errors(twice))


def test_a_missing_file_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_site(tmp_path / "none.yaml")


def test_an_empty_file_lacks_its_site() -> None:
    assert errors("") == ["site.yaml:1: site: is missing"]
