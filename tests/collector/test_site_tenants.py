# SPDX-License-Identifier: Apache-2.0
"""Tenants in the site file and in CSV files: by GPU, node and rack, and what is refused."""

import re
from pathlib import Path

import pytest

from rackwatt.collector.site import Site, load_site
from rackwatt.wire.config import ConfigErrors

GOOD = """\
site: {id: s, name: S, timezone: UTC}
meters: [{id: g, role: grid}, {id: it, role: it, sum: ['r[1-4]-pdu']}]
halls:
- id: hall-a
  rows: [{id: row-1, racks: 'r[1-4]', nodes: '{rack}-n[1-2]', pdus: '{rack}-pdu'}]
"""
HEADER = "tenant,kind,country,unit,id,valid_from,valid_to\n"


def loaded(folder: Path, tail: str, csv: str | None = None) -> Site:
    file = folder / "site.yaml"
    if csv is not None:
        (folder / "tenants.csv").write_text(csv, encoding="utf-8")
        tail += "assignments_csv: tenants.csv\n"
    file.write_text(GOOD + tail, encoding="utf-8")
    return load_site(file)


def errors(folder: Path, tail: str, csv: str | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(folder, tail, csv)
    return [str(error).removeprefix(f"{folder}/") for error in caught.value.errors]


def test_gpus_nodes_and_racks_by_pattern(tmp_path: Path) -> None:
    site = loaded(
        tmp_path,
        """\
tenants:
- id: lab
  kind: researcher
  country: MA
  assignments:
  - {gpus: 'r1-n1/GPU-[a-c]', nodes: 'r1-n2', racks: ['r2', 'r[3-4]']}
""",
    )
    (tenant,) = site.tenants
    (held,) = tenant.assignments
    assert held.gpus == ("r1-n1/GPU-a", "r1-n1/GPU-b", "r1-n1/GPU-c")
    assert (held.nodes, held.racks) == (("r1-n2",), ("r2", "r3", "r4"))


def test_a_csv_file_adds_tenants_and_assignments(tmp_path: Path) -> None:
    site = loaded(
        tmp_path,
        "tenants: [{id: lab, kind: researcher, assignments: [{racks: r1}]}]\n",
        HEADER
        + "lab,,,node,r2-n[1-2],2026-01-01T00:00:00+01:00,\n"
        + "\n"
        + "firm,company,FR,gpu,r3-n1/GPU-x,,2026-02-01T00:00:00Z\n"
        + "firm,company,FR,rack,r3,2026-02-01T00:00:00Z,\n",
    )
    lab, firm = site.tenants
    assert [a.racks or a.nodes for a in lab.assignments] == [("r1",), ("r2-n1", "r2-n2")]
    assert (firm.kind, firm.country, firm.name) == ("company", "FR", "firm")
    assert [a.gpus or a.racks for a in firm.assignments] == [("r3-n1/GPU-x",), ("r3",)]
    assert firm.assignments[0].validity.end_ms == firm.assignments[1].validity.start_ms


def assigned(first: str, second: str) -> str:
    return (
        f"tenants:\n- {{id: a, kind: company, assignments: [{{{first}}}]}}\n"
        f"- {{id: b, kind: company, assignments: [{{{second}}}]}}\n"
    )


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("gpus: r1-n1/GPU-a", "gpus: r1-n1/GPU-a", "GPU 'r1-n1/GPU-a'"),
        ("gpus: r1-n1/GPU-a", "nodes: r1-n1", "GPU 'r1-n1/GPU-a'"),
        ("nodes: r1-n1", "gpus: r1-n1/GPU-a", "node 'r1-n1'"),
        ("gpus: r1-n1/GPU-a", "racks: r1", "GPU 'r1-n1/GPU-a'"),
        ("racks: r1", "gpus: r1-n1/GPU-a", "node 'r1-n1'"),
        ("racks: r1", "racks: 'r[1-2]'", "rack 'r1'"),
        ("racks: 'r[1-2]'", "nodes: 'r[1-2]-n1'", "node 'r1-n1' .and 1 more."),
    ],
)
def test_nothing_has_two_tenants_at_a_time(
    tmp_path: Path, first: str, second: str, what: str
) -> None:
    (found,) = errors(tmp_path, assigned(first, second))
    expected = f"site.yaml:8: .*{what} is assigned to 'a' at the same time as to 'b': see line 7"
    assert re.match(expected, found), found


def test_one_after_the_other_may_hold_the_same(tmp_path: Path) -> None:
    change = "2026-01-01T00:00:00Z"
    text = assigned(f"racks: r1, valid_to: '{change}'", f"gpus: r1-n1/x, valid_from: '{change}'")
    assert len(loaded(tmp_path, text).tenants) == 2
    found = errors(tmp_path, text, HEADER + "c,company,,node,r1-n1,2025-12-31T00:00:00Z,\n")
    assert len(found) == 1
    assert re.match(
        r"tenants.csv:2: id: node 'r1-n1' is assigned to 'a' .* as to 'c': see line 7", found[0]
    )


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ("gpus: r1-n1/0", "by its UUID, not its index.*nvidia-smi -L"),
        ("gpus: 'r1-n1/[0-3]'", "by its UUID, not its index"),
        ("gpus: r1-n1/gpu-5E1C", "the case of a UUID counts .did you mean r1-n1/GPU-5E1C"),
        ("gpus: r1-n1", "'r1-n1' is no GPU .like NODE/GPU"),
        ("gpus: r1-n1/a/b", "is no GPU"),
        ("gpus: r1-n9/GPU-a", "unknown node 'r1-n9' .did you mean 'r[1-4]-n[12]'"),
        ("gpus: 'r1-n1/GPU-[b-a]'", "runs backwards"),
        ("gpus: [r1-n1/x, r1-n1/x]", "the patterns give 'r1-n1/x' twice"),
        ("racks: 'r[4-6]'", "unknown rack 'r5' and 1 more"),
        ("{}", "assigns nothing: 'gpus', 'nodes' or 'racks' is needed"),
        ("racks: r1, valid_from: 2026-01-01T00:00:00", "has no offset"),
        ("gpu: r1-n1/x", "unknown key .did you mean 'gpus'"),
    ],
)
def test_what_is_wrong_with_an_assignment(tmp_path: Path, held: str, expected: str) -> None:
    item = held if held == "{}" else f"{{{held}}}"
    found = errors(tmp_path, f"tenants: [{{id: a, kind: company, assignments: [{item}]}}]\n")
    assert any(re.search(expected, error) for error in found), found
    assert found[0].startswith("site.yaml:6: tenants[0].assignments[0]")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x,company,,rack,r9,,", "2: id: unknown rack 'r9' .did you mean 'r[1-4]'"),
        ("x,company,,node,r1,,", "2: id: unknown node 'r1'"),
        ("x,company,,gpu,r1-n1/3,,", "2: id: .* not its index"),
        ("x,company,,row,row-1,,", "2: unit: unknown unit 'row'"),
        ("x,firm,,rack,r1,,", "2: kind: unknown kind 'firm' .valid: company, operator"),
        ("x,,,rack,r1,,", "2: kind: unknown kind ''"),
        ("lab,company,,rack,r1,,", "2: kind: tenant 'lab' is of kind 'researcher' elsewhere"),
        ("lab,,FR,rack,r1,,", "2: country: tenant 'lab' is of country 'MA' elsewhere"),
        ("x,company,XX,rack,r1,,", "2: country: unknown country 'XX'"),
        ("x y,company,,rack,r1,,", "2: tenant: tenant 'x y' must be"),
        ("operator,company,,rack,r1,,", "2: tenant: 'operator' is who has what nobody holds"),
        ("x,company,,rack,r1,2026-01-01,", "2: valid_from: .* has no offset"),
        (
            "x,company,,rack,r1,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z",
            "2: valid_to: must be later",
        ),
        ("x,company,,rack,r1", "2: has 5 cells, the header 7"),
    ],
)
def test_what_is_wrong_in_a_csv_file(tmp_path: Path, line: str, expected: str) -> None:
    tail = "tenants: [{id: lab, kind: researcher, country: MA}]\n"
    (found,) = errors(tmp_path, tail, HEADER + line + "\n")
    assert re.match(f"tenants.csv:{expected}", found), found


def test_a_csv_file_without_its_columns(tmp_path: Path) -> None:
    missing, unknown = errors(tmp_path, "", "tenant,kind,unit,ids\n")
    assert missing.startswith("tenants.csv:1: id: column is missing")
    assert unknown == "tenants.csv:1: ids: unknown column (did you mean 'id'?)"
    (absent,) = errors(tmp_path, "assignments_csv: nobody.csv\n")
    assert re.match("site.yaml:6: assignments_csv.*nobody.csv: No such file", absent)


def test_the_operators_name_is_kept_for_the_operator(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, "tenants: [{id: operator, kind: company}]\n")
    assert "'operator' is who has what nobody holds" in found
    assert loaded(tmp_path, "tenants: [{id: operator, kind: operator}]\n").tenants


def test_a_row_is_fed_by_a_meter_that_exists(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(GOOD.replace("pdus:", "pdu_parent: h, pdus:"), encoding="utf-8")
    with pytest.raises(ConfigErrors, match=r"5: .*pdu_parent: unknown meter 'h'"):
        load_site(file)
