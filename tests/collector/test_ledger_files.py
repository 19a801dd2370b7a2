# SPDX-License-Identifier: Apache-2.0
"""The file itself: an earlier version is brought over, a later one refused, old inputs go."""

import sqlite3
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PARAMETERS, PLAIN, hour_of, ledger, rows
from collector.forging import without_bases

from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger import InputRecord, Ledger, LedgerReader, Refusal
from rackwatt.collector.ledger.reading import OlderLedger
from rackwatt.collector.ledger.schema import NewerLedger
from rackwatt.collector.ledger.verify import verify

DAY = 24 * HOUR
ZONE = ZoneInfo("Africa/Casablanca")
FACTORS = SiteFactors(shipped(), "MA")

VERSION_1 = """
CREATE TABLE series (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, field TEXT NOT NULL, UNIQUE (device, field));
CREATE TABLE inputs (
  series INTEGER NOT NULL, time_ms INTEGER NOT NULL, value REAL NOT NULL,
  held INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (series, time_ms)) WITHOUT ROWID;
CREATE INDEX inputs_held ON inputs (series, time_ms) WHERE held = 1;
CREATE TABLE registers (
  device TEXT NOT NULL, field TEXT NOT NULL, modulus REAL, resolution REAL,
  PRIMARY KEY (device, field)) WITHOUT ROWID;
CREATE TABLE serials (device TEXT PRIMARY KEY, serial TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE swaps (
  device TEXT NOT NULL, time_ms INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
  PRIMARY KEY (device, time_ms)) WITHOUT ROWID;
CREATE TABLE events (
  time_ms INTEGER NOT NULL, device TEXT NOT NULL, field TEXT NOT NULL, code TEXT NOT NULL,
  before REAL NOT NULL, after REAL NOT NULL, PRIMARY KEY (time_ms, device, field)) WITHOUT ROWID;
CREATE TABLE dirty (start_ms INTEGER PRIMARY KEY, cause TEXT NOT NULL);
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY, start_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
  cause TEXT NOT NULL, author TEXT NOT NULL, row TEXT NOT NULL, previous TEXT NOT NULL,
  hash TEXT NOT NULL, UNIQUE (start_ms, revision));
CREATE TABLE latest (start_ms INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE cursors (name TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""

BACK = """
INSERT INTO series SELECT * FROM new.series;
INSERT INTO inputs SELECT series, time_ms, value, 0 FROM new.inputs;
INSERT INTO registers VALUES ('i', 'energy_import_watt_hours', 2000.0, NULL);
INSERT INTO journal SELECT seq, start_ms, revision, cause, author, row, previous, hash
  FROM new.journal;
INSERT INTO latest SELECT start_ms, seq FROM new.latest;
INSERT INTO cursors SELECT * FROM new.cursors;
INSERT INTO meta SELECT * FROM new.meta WHERE name <> 'schema';
"""


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A ledger of version 1 with a restated interval, one that waits, and a held reading."""
    book = ledger(tmp_path / "new.db")
    records = hour_of(range(0, 700, 10))
    missing = [r for r in records if r.device == "p" and r.time_ms == BEGIN + 300_000]
    book.apply([r for r in records if r not in missing][: 4 * 45], 7)
    book.close_intervals(BEGIN + 6 * MINUTE)
    book.apply([r for r in records if r not in missing], 8)
    book.close_intervals(BEGIN + 11 * MINUTE)
    book.close()
    without_bases(tmp_path / "new.db")
    path = tmp_path / "ledger.db"
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(VERSION_1)
    old.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
    old.executescript(BACK)
    number = old.execute("SELECT id FROM series WHERE device = 'p' AND field LIKE 'power%'")
    old.execute("INSERT INTO inputs VALUES (?, 77, 5.0, 1)", number.fetchone())
    old.execute("INSERT INTO dirty VALUES (?, 'late_data')", (BEGIN + 2 * MINUTE,))
    old.close()
    return path


def test_a_file_of_version_1_is_brought_over_and_its_hashes_still_verify(
    first_version: Path,
) -> None:
    old = sqlite3.connect(first_version)
    hashes = old.execute("SELECT seq, hash FROM journal ORDER BY seq").fetchall()
    old.close()
    with pytest.raises(OlderLedger, match="has version 1, this program reads version 2"):
        LedgerReader(first_version)
    book = ledger(first_version)
    assert book.verify() is None
    found = book._db.execute("SELECT seq, hash FROM journal ORDER BY seq").fetchall()
    assert found == hashes
    assert book.cursor() == 8
    assert [(h.agent, h.device, h.readings, h.first_ms) for h in book.held()] == [("", "p", 1, 77)]
    assert book.waiting() == 1
    book.book_again()
    book.record_act("note", {}, "ana", "a new kind of entry", BEGIN)
    book.close()
    book = ledger(first_version)
    assert book.verify() is None
    assert len(rows(book)) == 10
    book.close()
    result = verify(first_version, site=PLAIN, factors=FACTORS, battery=PARAMETERS)
    assert result.findings == []
    journal = sqlite3.connect(first_version)
    with pytest.raises(sqlite3.Error, match="append-only"):
        journal.execute("DELETE FROM journal")
    journal.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger(path).close()
    later = sqlite3.connect(path)
    later.execute("UPDATE meta SET value = 3 WHERE name = 'schema'")
    later.commit()
    later.close()
    with pytest.raises(NewerLedger, match="written by a later release"):
        ledger(path)
    with pytest.raises(NewerLedger):
        ledger(path)


def hourly(days: int) -> list[InputRecord]:
    """The small site, read every minute for some days."""
    return hour_of(range(-60, days * 86_400, 60))


def pages(book: Ledger) -> int:
    used = book._db.execute("PRAGMA page_count").fetchone()[0]
    free = book._db.execute("PRAGMA freelist_count").fetchone()[0]
    return int(used - free)


def test_old_inputs_go_piece_by_piece_and_the_edges_of_days_stay(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    days = 4
    end = BEGIN + days * DAY
    book = ledger(path)
    book.apply(hourly(days), 1)
    book.close_intervals(end)
    text, used = rows(book), pages(book)
    before = book._db.execute("SELECT count(*) FROM inputs").fetchone()[0]
    assert book.compact(end, ZONE) == 0
    now = end + 34 * DAY
    assert 0 < book.compact(now, ZONE, at_once=1) <= 60
    compacted = book.compacted_through_ms()
    assert compacted is not None
    assert now - 36 * DAY < compacted <= now - 35 * DAY
    while book.compact(now, ZONE, at_once=900):
        pass
    after = book._db.execute("SELECT count(*) FROM inputs").fetchone()[0]
    assert after < 0.8 * before
    assert pages(book) < used
    # Of every whole day that went, its first and its last reading stayed.
    series = book._db.execute(
        "SELECT id FROM series WHERE device = 'g' AND field = 'energy_import_watt_hours'"
    ).fetchone()
    gone = book._meta.get("deleted") or 0
    kept = book._db.execute(
        "SELECT time_ms FROM inputs WHERE series = ? AND time_ms <= ?", (*series, gone)
    ).fetchall()
    midnights = [gone - day * DAY for day in range(4) if gone - day * DAY > BEGIN]
    for midnight in midnights:
        assert (midnight,) in kept
    assert len(kept) <= 2 * (len(midnights) + 1)
    # Nothing of the books has changed, and all of it can still be proved.
    assert rows(book) == text
    proof = verify(path, site=PLAIN, factors=FACTORS, battery=PARAMETERS)
    assert proof.findings == []
    assert proof.recomputed == len(text)
    assert proof.from_inputs == (end - compacted) // MINUTE - 1
    # What comes for it now waits; a decision books from the rows' own bookings.
    late = InputRecord("p", BEGIN + HOUR, {"power_watts": 9e9}, now - 34 * DAY, agent="roof")
    book.apply([late], 2)
    assert [held.agent for held in book.held()] == ["roof"]
    assert book.close_intervals(end).restated == 0
    with pytest.raises(Refusal, match="already compacted"):
        book.release("roof", 0, 2**60, 0, "ana", "too late", now)
    book.restate(BEGIN, end, "ana", "to be sure", now)
    assert book.book_again().restated == 0
    assert rows(book) == text
    book.close()


def test_nothing_is_compacted_that_waits_to_be_booked(tmp_path: Path) -> None:
    book = ledger(tmp_path / "ledger.db")
    book.apply(hourly(3), 1)
    book.close_intervals(BEGIN + 3 * DAY)
    book.restate(BEGIN, BEGIN + HOUR, "ana", "to be sure", BEGIN)
    assert book.compact(BEGIN + 60 * DAY, ZONE) == 0
    book.book_again()
    assert book.compact(BEGIN + 60 * DAY, ZONE) > 0
    book.close()
