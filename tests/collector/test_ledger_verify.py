# SPDX-License-Identifier: Apache-2.0
"""What an auditor relies on: whatever is changed in the file, verification says so."""

import sqlite3
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PARAMETERS, PLAIN, hour_of, ledger, record
from collector.forging import rebuild, tamper

from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger.anchors import BadAnchors, read_anchors, write_anchor
from rackwatt.collector.ledger.verify import Verification, verify

FACTORS = SiteFactors(shipped(), "MA")
NOW = BEGIN + 90 * MINUTE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of 89 minutes with a late hour, two acts and a restatement."""
    path = tmp_path / "ledger.db"
    book = ledger(path)
    records = hour_of(range(0, 5400, 10))
    late = [r for r in records if r.device == "p" and r.time_ms < BEGIN + 50 * MINUTE]
    book.apply([r for r in records if r not in late], 1)
    book.close_intervals(NOW)
    book.apply(late, 2)
    book.close_intervals(NOW)
    book.record_act("note", {"what": "seen"}, "ana", "a test", NOW)
    book.restate(BEGIN, BEGIN + HOUR, "ana", "to be sure", NOW)
    book.close_intervals(NOW)
    write_anchor(tmp_path / "anchors.txt", book, NOW)
    book.close()
    return path


def check(path: Path, anchor: Path | None = None) -> Verification:
    return verify(path, anchor=anchor, site=PLAIN, factors=FACTORS, battery=PARAMETERS)


def test_a_sound_ledger(path: Path) -> None:
    found = check(path, path.with_name("anchors.txt"))
    assert found.findings == []
    assert found.sound
    assert found.entries > 89 + 50
    assert (found.recomputed, found.from_inputs, found.anchored) == (89, 89, 1)


def test_while_an_accountant_writes_and_rows_wait(path: Path) -> None:
    book = ledger(path)
    book.apply([record("p", 1205, power_watts=9000.0)], 3)
    found = check(path)
    assert found.findings == []
    assert found.recomputed < 89
    book.close_intervals(NOW)
    assert check(path).findings == []
    book.close()


EDIT = "UPDATE journal SET row = replace(row, '\"grid\":16.', '\"grid\":15.') WHERE seq = "
SHOWN = f"(SELECT seq FROM latest WHERE kind = 'interval' AND start_ms = {BEGIN + 79 * MINUTE})"  # noqa: S608


def test_an_edited_row_is_named(path: Path) -> None:
    tamper(path, EDIT + "81")
    finding = check(path).findings[0]
    assert (finding.seq, finding.kind) == (81, "interval")
    assert finding.start_ms == BEGIN + 79 * MINUTE
    assert "it was changed" in finding.message


def test_an_edited_row_is_named_in_a_chain_that_was_rebuilt(path: Path) -> None:
    tamper(path, EDIT + SHOWN)
    rebuild(path)
    assert not verify(path).sound, "nor does it take the site file"
    findings = check(path).findings
    assert {f.start_ms for f in findings} == {BEGIN + 79 * MINUTE}
    assert any("booked again it differs in" in f.message for f in findings)
    assert any("its inputs say otherwise in: sources" in f.message for f in findings)


def test_a_rebuilt_chain_fails_against_an_anchor(path: Path) -> None:
    tamper(path, "UPDATE journal SET author = 'nobody' WHERE kind = 'act' AND cause = 'note'")
    rebuild(path)
    assert check(path).sound
    findings = check(path, path.with_name("anchors.txt")).findings
    assert any("the chain was rebuilt" in f.message for f in findings)


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DELETE FROM journal WHERE seq = 12"], "entry 12 before it: deleted"),
        (["DELETE FROM journal WHERE seq BETWEEN 12 AND 14"], "entries 12 to 14 before it"),
        (
            [
                "UPDATE journal SET seq = 100000 WHERE seq = 12",
                "UPDATE journal SET seq = 12 WHERE seq = 13",
                "UPDATE journal SET seq = 13 WHERE seq = 100000",
            ],
            "does not follow",
        ),
        (
            ["INSERT INTO journal VALUES (9999, 'act', 1, 1, '', '', '', '', '')"],
            "it was changed",
        ),
        (["UPDATE latest SET seq = 3 WHERE start_ms = (SELECT min(start_ms) FROM latest)"], "get"),
        (["DELETE FROM latest WHERE kind = 'act'"], "readers get nothing"),
        (["UPDATE latest SET start_ms = start_ms + 7 WHERE kind = 'act'"], "not in the journal"),
    ],
)
def test_what_else_a_forger_may_do(path: Path, statements: list[str], message: str) -> None:
    tamper(path, *statements)
    findings = verify(path).findings
    assert any(message in f.message for f in findings), findings


def test_a_cut_chain_fails_against_an_anchor(path: Path) -> None:
    tamper(
        path,
        "DELETE FROM journal WHERE kind = 'act'",
        "DELETE FROM latest WHERE kind = 'act'",
        "DELETE FROM journal WHERE seq > 150",
    )
    findings = verify(path, anchor=path.with_name("anchors.txt")).findings
    assert any("the chain was cut" in f.message for f in findings)


def test_changed_inputs_are_found(path: Path) -> None:
    forger = sqlite3.connect(path, isolation_level=None)
    forger.execute(
        "UPDATE inputs SET value = value + 1 WHERE time_ms = ? AND series ="
        " (SELECT id FROM series WHERE device = 'g' AND field = 'energy_import_watt_hours')",
        (BEGIN + 30 * MINUTE,),
    )
    forger.close()
    assert {f.start_ms for f in check(path).findings} == {
        BEGIN + 29 * MINUTE,
        BEGIN + 30 * MINUTE,
    }


def test_anchor_files(tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    book = ledger()
    assert write_anchor(file, book, NOW) is None
    book.apply(hour_of(range(0, 100, 10)), 1)
    book.close_intervals(BEGIN + 90_000)
    first = write_anchor(file, book, NOW)
    assert first is not None
    assert write_anchor(file, book, NOW + MINUTE) is None
    assert write_anchor(file, book, NOW + 24 * HOUR) is not None
    assert [one.seq for one in read_anchors(file)] == [2, 2]
    assert read_anchors(file)[0] == first
    book.close()


@pytest.mark.parametrize("line", ["yesterday", "2026-02-30 1 " + "0" * 64, "2026-01-01 x y"])
def test_what_is_no_anchor_is_said_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text(f"# of the demo site\n\n{line}\n")
    with pytest.raises(BadAnchors, match=r"anchors\.txt:3: not an anchor"):
        read_anchors(file)
