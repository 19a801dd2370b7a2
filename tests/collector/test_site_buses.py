# SPDX-License-Identifier: Apache-2.0
"""Several buses: what a term's bus is, and what is refused."""

from pathlib import Path

import pytest

from rackwatt.collector.site import load_site, site_of
from rackwatt.collector.site.topology import Term, Tie, Validity
from rackwatt.wire.config import ConfigErrors, Document

GOOD = """\
site: {id: mesh, timezone: Africa/Casablanca}
buses: [{id: north}, {id: south}]
ties: [{id: tie-1, from: north, to: south, meter: tie-meter-1}]
meters:
- {id: grid-1, role: grid, bus: north}
- {id: pv-1, role: pv, bus: south}
- {id: it-north, role: it, sum: ['rack-n-pdu-[a-b]']}
- {id: it-south, role: it, sum: ['rack-s-pdu-[a-b]']}
- {id: cooling-1, role: cooling, bus: south, parent: grid-1}
halls:
- {id: hall-n, bus: north, rows: [{id: row-1, racks: rack-n, pdus: '{rack}-pdu-[a-b]'}]}
- id: hall-s
  bus: south
  rows: [{id: row-1, racks: rack-s, pdus: '{rack}-pdu-[a-b]', pdu_parent: pv-1}]
"""


def errors(old: str, new: str) -> str:
    assert old in GOOD
    with pytest.raises(ConfigErrors) as caught:
        site_of(Document("site.yaml", GOOD.replace(old, new, 1)))
    return str(caught.value)


def test_terms_know_their_bus() -> None:
    terms = site_of(Document("site.yaml", GOOD)).terms_at(0)
    assert terms.buses == ("north", "south")
    assert terms.ties == (Tie("tie-1", "north", "south", "tie-meter-1"),)
    assert terms.roles["grid"] == (Term("grid-1", 1, "north"),)
    assert {term.bus for term in terms.roles["it"] if term.meter_id.startswith("rack-n")} == {
        "north"
    }
    assert {term.bus for term in terms.roles["it"] if term.meter_id.startswith("rack-s")} == {
        "south"
    }


def test_a_site_without_buses_has_one_without_a_name() -> None:
    lines = [line for line in GOOD.splitlines(keepends=True) if not line.startswith(("bus", "tie"))]
    text = "".join(lines).replace(", bus: north", "").replace(", bus: south", "")
    text = text.replace("  bus: south\n", "")
    terms = site_of(Document("site.yaml", text)).terms_at(0)
    assert terms.buses == ("",)
    assert terms.ties == ()
    assert {term.bus for role in terms.roles.values() for term in role} == {""}


def test_parents_are_known() -> None:
    meters = site_of(Document("site.yaml", GOOD)).meters_at(0)
    assert meters["cooling-1"].parent == "grid-1"
    assert meters["rack-s-pdu-a"].parent == "pv-1"
    assert meters["rack-n-pdu-a"].parent == ""


def test_a_tie_comes_and_goes() -> None:
    text = GOOD.replace("meter: tie-meter-1", "meter: t, valid_from: 1970-01-02T00:00:00Z")
    site = site_of(Document("site.yaml", text))
    assert site.terms_at(0).ties == ()
    day = 86_400_000
    assert site.terms_at(day).ties[0].validity == Validity(
        day, site.terms_at(day).ties[0].validity.end_ms
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bus: north}", "bus: nord}", "5: meters[0].bus: unknown bus 'nord'"),
        ("hall-n, bus: north", "hall-n", "11: halls[0]: hall 'hall-n' does not say which"),
        ("id: cooling-1, role: cooling, bus: south", "id: cooling-1, role: cooling",
         "9: meters[4]: meter 'cooling-1' does not say on which bus"),
        ("from: north", "from: nrth", "unknown bus 'nrth' (did you mean 'north'?)"),
        ("to: south", "to: north", "a tie leads to another bus"),
        ("meter: tie-meter-1", "meter: pv-1", "meter 'pv-1' has the role 'pv': a tie's has none"),
        ("{id: south}]", "{id: north}]", "bus 'north' stands twice: see line 2"),
        (", {id: south}]", "]", "one bus needs no name"),
        ("parent: grid-1", "parent: grid-9", "9: meters[4].parent: unknown meter 'grid-9'"),
        ("tie-meter-1}]", "t}, {id: tie-1, from: south, to: north, meter: t}]",
         "tie 'tie-1' stands twice at the same time"),
        ("tie-meter-1}]", "t}, {id: tie-2, from: south, to: north, meter: t}]",
         "meter 't' measures two ties"),
    ],
)  # fmt: skip
def test_what_is_refused(old: str, new: str, expected: str) -> None:
    assert expected in errors(old, new)


def test_the_example_with_two_substations_is_good() -> None:
    examples = Path(__file__).parents[2] / "docs" / "examples"
    site = load_site(examples / "site-mesh.yaml")
    assert site.terms_at(0).buses == ("north", "south")
    assert [line.value for line in site.factor_series] == [602.1, 598.4, 0.24]
    assert [line.retired_ms is None for line in site.certificates] == [False, True]
    assert site.meters_at(0)["n1-01-pdu-a"].parent == "ups-north"
