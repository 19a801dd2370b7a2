# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger verify` and `anchor`: what was changed is named."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR
from collector.command_books import call, two_hours

from rackwatt.collector.ledger.chain import GENESIS, entry_hash
from rackwatt.collector.ledger.commands.times import utc


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return two_hours(tmp_path)


def edit(data: Path, *, rebuild: bool = False) -> int:
    """Make one booked row say less carbon, as somebody with the file could; return its entry."""
    with closing(sqlite3.connect(data / "ledger.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER journal_no_update")
        seq, row = db.execute(
            "SELECT seq, row FROM journal WHERE kind = 'interval' AND start_ms = ?"
            " ORDER BY seq DESC",
            (BEGIN + HOUR,),
        ).fetchone()
        changed = json.loads(row)
        changed["carbon"]["life_cycle"] = 1.0
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        db.execute("UPDATE journal SET row = ? WHERE seq = ?", (text, seq))
        if rebuild:
            before = GENESIS
            for number, kind, start, revision, cause, author, row in db.execute(
                "SELECT seq, kind, start_ms, revision, cause, author, row FROM journal ORDER BY seq"
            ).fetchall():
                digest = entry_hash(kind, start, revision, cause, author, row, before)
                db.execute(
                    "UPDATE journal SET previous = ?, hash = ? WHERE seq = ?",
                    (before, digest, number),
                )
                before = digest
        return int(seq)


def test_sound_books_say_what_was_looked_at(data: Path) -> None:
    found = call("verify", "--data", str(data))
    assert found.exit_code == 0, found.output
    assert "120 booked again, 120 from readings" in found.stdout
    assert "sound" in found.stdout
    document = json.loads(call("verify", "--data", str(data), "--json").stdout)
    assert document["sound"]
    assert document["rows_recomputed"] == 120


def test_an_edited_row_is_named(data: Path) -> None:
    seq = edit(data)
    found = call("verify", "--data", str(data))
    assert found.exit_code == 1
    assert f"entry {seq}, minute {utc(BEGIN + HOUR)}: it was changed" in found.stdout
    assert "differs in: carbon" in found.stdout
    (data / "site.yaml").unlink()
    found = call("verify", "--data", str(data))
    assert found.exit_code == 1
    assert "120 booked again, none from readings: that needs --site" in found.stdout
    assert f"entry {seq}" in found.stdout


def test_a_rebuilt_chain_fails_against_an_anchor(data: Path, tmp_path: Path) -> None:
    anchors = tmp_path / "anchors-outside.txt"
    found = call("anchor", "--data", str(data), "--file", str(anchors))
    assert found.exit_code == 0
    assert found.stdout == anchors.read_text()
    again = call("anchor", "--data", str(data), "--file", str(anchors))
    assert (again.exit_code, again.stdout) == (0, "")
    assert "already has a line" in again.stderr
    good = call("verify", "--data", str(data), "--anchor", str(anchors))
    assert good.exit_code == 0
    assert "1 looked for" in good.stdout
    edit(data, rebuild=True)
    (data / "site.yaml").unlink()
    found = call("verify", "--data", str(data))
    assert "it was changed" not in found.stdout, "the new chain is sound by itself"
    found = call("verify", "--data", str(data), "--anchor", str(anchors))
    assert found.exit_code == 1
    assert "the chain was rebuilt" in found.stdout


def test_anchor_files_that_do_not_do(data: Path, tmp_path: Path) -> None:
    missing = call("verify", "--data", str(data), "--anchor", str(tmp_path / "none.txt"))
    assert missing.exit_code == 2
    assert "--anchor: there is no file" in missing.stderr
    bad = tmp_path / "bad.txt"
    bad.write_text("2026-10-01 17 abc\n")
    found = call("verify", "--data", str(data), "--anchor", str(bad))
    assert found.exit_code == 2
    assert "bad.txt:1: not an anchor" in found.stderr
    found = call("anchor", "--data", str(data), "--file", str(tmp_path / "no" / "a.txt"))
    assert found.exit_code == 1
    assert "cannot be written" in found.stderr


@pytest.mark.parametrize("text", ["", "# nothing yet\n\n"])
def test_a_file_without_an_anchor_proves_nothing(data: Path, text: str, tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text(text)
    found = call("verify", "--data", str(data), "--anchor", str(file))
    assert found.exit_code == 2
    assert "holds no anchor" in found.stderr
    found = call("verify", "--data", str(data), "--anchor", str(tmp_path))
    assert found.exit_code == 2
    assert "is a folder" in found.stderr


def test_an_anchor_is_a_line_of_its_own(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text(f"2020-01-01 1 {'0' * 64}")
    assert call("anchor", "--data", str(data), "--file", str(file)).exit_code == 0
    assert len(file.read_text().splitlines()) == 2


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    found = call("verify", "--data", str(tmp_path))
    assert found.exit_code == 1
    assert "is no ledger: it holds no books" in found.stderr
