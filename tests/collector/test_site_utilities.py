# SPDX-License-Identifier: Apache-2.0
"""Water, reused heat and fuel in the site file: what is read, and what is said of slips."""

from itertools import pairwise
from pathlib import Path

import pytest

from rackwatt.collector.ledger.view import rules_of
from rackwatt.collector.site import check, load_site
from rackwatt.wire.config import ConfigErrors

SITE = """\
site: {id: s, timezone: UTC, country: MA}
carbon: {fuel_factors: {diesel: 2641, hvo: 36}}
meters:
  - {id: grid-1, role: grid}
  - {id: it, role: it, position: pdu_output, sum: [ups-1]}
  - {id: ups-1}
water:
  - {id: "water-[1-2]", source: fresh, use: cooling, cadence: 30s}
  - {id: rain-1, source: rain, use: humidification, valid_from: 2026-05-01T00:00:00Z}
heat_reuse:
  - {id: heat-1}
devices: [water-1]
fuel: fuel.csv
water_discharge: [{id: drain-1, cadence: 30s}]
"""
FUEL = """\
from,to,fuel,liters,source_document,tank
2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,diesel,180,dip 2,north
2026-02-01T00:00:00Z,2026-03-01T00:00:00Z,hvo,20.5,note 7,north
2026-01-01T00:00:00Z,2026-03-01T00:00:00Z,diesel,0,dip 3,south
"""


def written(folder: Path, site: str = SITE, fuel: str = FUEL) -> Path:
    (folder / "fuel.csv").write_text(fuel, encoding="utf-8")
    path = folder / "site.yaml"
    path.write_text(site, encoding="utf-8")
    return path


def errors(path: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_site(path)
    return str(caught.value).replace(str(path.parent) + "/", "")


def test_everything_is_read(tmp_path: Path) -> None:
    site = load_site(written(tmp_path))
    assert [(one.id, one.kind, one.source, one.use) for one in site.utilities] == [
        ("water-1", "water", "fresh", "cooling"),
        ("water-2", "water", "fresh", "cooling"),
        ("rain-1", "water", "rain", "humidification"),
        ("drain-1", "water", "discharge", ""),
        ("heat-1", "coolant", "", ""),
    ]
    assert site.utilities[0].cadence_seconds == 30.0
    assert not site.utilities[2].validity.holds(0)
    assert site.place("heat-1", 0) is not None, "what stands nowhere stands on the site"
    rules = rules_of(site)
    assert rules.fuel_factors == {"diesel": 2641.0, "hvo": 36.0}
    assert [(line.fuel, line.liters, line.tank, line.document) for line in rules.fuel] == [
        ("diesel", 180.0, "north", "dip 2"),
        ("hvo", 20.5, "north", "note 7"),
        ("diesel", 0.0, "south", "dip 3"),
    ]


def test_check_shows_it(tmp_path: Path) -> None:
    text = check(written(tmp_path))
    assert "water water-1: fresh, for cooling" in text
    assert "water rain-1: rain, for humidification" in text
    assert "water drain-1: given back" in text
    assert "reused heat heat-1" in text
    assert "fuel diesel: 180 L on paper" in text
    assert "fuel hvo: 20.5 L on paper" in text
    assert "carbon.fuel_factors" not in text
    bare = check(
        written(tmp_path, SITE.replace(", hvo: 36", "").replace("diesel: 2641", ""), DIESEL)
    )
    assert "default: carbon.fuel_factors.diesel: unknown, scope 1 stays empty" in bare


DIESEL = "\n".join(line for line in FUEL.splitlines() if "hvo" not in line)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("source: fresh", "source: frsh", "site.yaml:8: water[0].source: "),
        ("source: fresh", "source: frsh", "did you mean 'fresh'?"),
        ("use: cooling", "use: coling", "did you mean 'cooling'?"),
        (", use: cooling", ", uses: cooling", "site.yaml:8: water[0].uses: unknown key (did you"),
        ("water:\n", "watr:\n", "site.yaml:7: watr: unknown key (did you mean 'water'?)"),
        ("heat_reuse:", "heat_reused:", "site.yaml:10: heat_reused: unknown key (did you mean"),
        ("id: rain-1", "id: water-2", "site.yaml:9: water[1].id: device 'water-2' stands twice"),
        ("id: heat-1", "id: it", "site.yaml:11: heat_reuse[0].id: 'it' is a virtual meter"),
        ("id: heat-1", "id: heat/1", "site.yaml:11: heat_reuse[0].id: "),
        ("diesel: 2641", "diesel: 2.641", "g CO2e per litre (did you mean 2641?)"),
        ("diesel: 2641", "diesel: 2641 g", "site.yaml:2: carbon.fuel_factors.diesel: expects g CO"),
        ("diesel: 2641", "diesel: '2641,5'", "g CO2e per litre (did you mean 2641.5?)"),
        ("diesel: 2641", "diesel: 264100", "site.yaml:2: carbon.fuel_factors.diesel: "),
        ("fuel: fuel.csv", "fuel: feul.csv", "site.yaml:13: fuel[0]: "),
    ],
)
def test_a_slip_in_the_site_file(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SITE
    assert expected in errors(written(tmp_path, SITE.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            ",diesel,180",
            ",desel,180",
            "fuel.csv:2: fuel: unknown fuel 'desel' (did you mean 'diesel'",
        ),
        (",180,", ",-5,", "fuel.csv:2: liters: must be from 0 to 1e+09, not -5"),
        (",180,", ',"180 L",', "fuel.csv:2: liters: no number: '180 L'"),
        (",dip 2,", ",,", "fuel.csv:2: source_document: is empty: say where the figure stands"),
        ("2026-03-01T00:00:00Z,hvo", "x", "fuel.csv:3: has 5 cells"),
        (
            "2026-02-01T00:00:00Z,2026-03",
            "2026-01-09T00:00:00Z,2026-03",
            "fuel.csv:3: from: overla",
        ),
        (",south", ",north", "fuel.csv:4: from: overlaps line 2 of "),
        ("liters", "litres", "fuel.csv:1: liters: column is missing (did you mean 'litres'?)"),
        ("2026-02-01T00:00:00Z,d", "2025-02-01T00:00:00Z,d", "fuel.csv:2: to: must be later than"),
    ],
)
def test_a_slip_in_the_fuel_file(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in FUEL
    assert expected in errors(written(tmp_path, fuel=FUEL.replace(old, new, 1)))


def test_the_examples_name_water_heat_and_fuel() -> None:
    examples = Path(__file__).parents[2] / "docs" / "examples"
    assert [one.id for one in load_site(examples / "site.yaml").utilities] == ["water-1", "heat-1"]
    rules = rules_of(load_site(examples / "site-mesh.yaml"))
    assert rules.fuel_factors == {"diesel": 2641.0}
    spans = [(line.start_ms, line.end_ms) for line in rules.fuel]
    assert all(one[1] == other[0] for one, other in pairwise(spans)), "one follows the other"
