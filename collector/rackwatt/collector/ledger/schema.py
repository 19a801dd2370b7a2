# SPDX-License-Identifier: Apache-2.0
"""The tables of ``ledger.db``, and how a file of an earlier version becomes one of this version.

``journal`` is the book: entries are added and never changed, which the database itself enforces.
There are three kinds of entries in one chain: ``interval`` (a revision of one minute),
``attribution`` (a revision of one quarter hour, down to racks and tenants) and ``act`` (what
somebody decided: a restatement, a release, a month that became final).

``latest``, ``dirty``, ``quarters`` and ``months`` can be made anew from it; ``inputs`` holds the
readings that the books use, ``held`` those that wait for somebody's judgement of their clock.

Version 2 added the kinds. An entry of kind ``interval`` is hashed as in version 1, without its
kind, so that hashes anchored before still hold; see :func:`.journal.entry_hash`.
"""

import sqlite3
from typing import Final

from rackwatt.collector.ledger.counters import COUNTERS_SCHEMA
from rackwatt.collector.ledger.samples import SAMPLES_SCHEMA

VERSION: Final = 2

_JOURNAL: Final = """
CREATE TABLE IF NOT EXISTS journal (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, start_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL, cause TEXT NOT NULL, author TEXT NOT NULL, row TEXT NOT NULL,
  previous TEXT NOT NULL, hash TEXT NOT NULL, UNIQUE (kind, start_ms, revision));
CREATE TABLE IF NOT EXISTS latest (
  kind TEXT NOT NULL, start_ms INTEGER NOT NULL, seq INTEGER NOT NULL, revision INTEGER NOT NULL,
  PRIMARY KEY (kind, start_ms)) WITHOUT ROWID;
"""

_INPUTS: Final = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, field TEXT NOT NULL, UNIQUE (device, field));
CREATE TABLE IF NOT EXISTS inputs (
  series INTEGER NOT NULL, time_ms INTEGER NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (series, time_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
  device TEXT NOT NULL, agent TEXT NOT NULL, time_ms INTEGER NOT NULL, field TEXT NOT NULL,
  value REAL NOT NULL, received_ms INTEGER NOT NULL,
  PRIMARY KEY (device, agent, time_ms, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS registers (
  device TEXT NOT NULL, field TEXT NOT NULL, since_ms INTEGER NOT NULL, modulus REAL,
  resolution REAL, PRIMARY KEY (device, field, since_ms)) WITHOUT ROWID;
"""

SCHEMA: Final = (
    _INPUTS
    + _JOURNAL
    + COUNTERS_SCHEMA
    + SAMPLES_SCHEMA
    + """
CREATE TABLE IF NOT EXISTS serials (
  device TEXT PRIMARY KEY, serial TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS swaps (
  device TEXT NOT NULL, time_ms INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
  PRIMARY KEY (device, time_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
  time_ms INTEGER NOT NULL, device TEXT NOT NULL, field TEXT NOT NULL, code TEXT NOT NULL,
  before REAL NOT NULL, after REAL NOT NULL, PRIMARY KEY (time_ms, device, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (
  start_ms INTEGER PRIMARY KEY, cause TEXT NOT NULL, author TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS quarters (
  start_ms INTEGER PRIMARY KEY, cause TEXT NOT NULL, author TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS months (
  start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL, label TEXT NOT NULL, zone TEXT NOT NULL,
  tz_version TEXT NOT NULL, final INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, data TEXT NOT NULL, author TEXT NOT NULL,
  reason TEXT NOT NULL, placed_ms INTEGER NOT NULL, state TEXT NOT NULL,
  outcome TEXT NOT NULL DEFAULT 'null');
CREATE INDEX IF NOT EXISTS orders_waiting ON orders (id) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS cursors (
  name TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (
  name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS journal_acts ON journal (seq) WHERE kind = 'act';
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
)

_ASIDE: Final = """
DROP TRIGGER IF EXISTS journal_no_update;
DROP TRIGGER IF EXISTS journal_no_delete;
DROP INDEX IF EXISTS inputs_held;
ALTER TABLE journal RENAME TO journal_1;
DROP TABLE latest;
ALTER TABLE inputs RENAME TO inputs_1;
ALTER TABLE registers RENAME TO registers_1;
"""

_OVER: Final = """
INSERT INTO journal
  SELECT seq, 'interval', start_ms, revision, cause, author, row, previous, hash
  FROM journal_1 ORDER BY seq;
INSERT INTO latest
  SELECT 'interval', start_ms, max(seq), max(revision) FROM journal_1 GROUP BY start_ms;
INSERT INTO held
  SELECT device, '', time_ms, field, value, time_ms
  FROM inputs_1 JOIN series ON series.id = inputs_1.series WHERE held = 1;
INSERT INTO inputs SELECT series, time_ms, value FROM inputs_1 WHERE held = 0;
INSERT INTO registers SELECT device, field, 0, modulus, resolution FROM registers_1;
ALTER TABLE dirty ADD COLUMN author TEXT NOT NULL DEFAULT 'rackwatt';
DROP TABLE journal_1;
DROP TABLE inputs_1;
DROP TABLE registers_1;
"""


_STAMP: Final = "INSERT OR REPLACE INTO meta"


class NewerLedger(RuntimeError):  # noqa: N818 - a state of the file
    """The file was written by a later version of this program."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, or bring an older file over, in one transaction.

    Raises:
        NewerLedger: the file is of a later version.
        sqlite3.Error: the file is no database or cannot be written.
    """
    version = schema_version(connection)
    if version > VERSION:
        msg = (
            f"the ledger has version {version}, this program knows {VERSION}: "
            "it was written by a later release, use that one"
        )
        raise NewerLedger(msg)
    older = _ASIDE + _INPUTS + _JOURNAL + _OVER if version == 1 else ""
    try:
        connection.executescript(
            "BEGIN IMMEDIATE;" + older + SCHEMA + f"{_STAMP} VALUES ('schema', {VERSION}); COMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of a file, 0 of an empty one."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    if found is None:
        return 0
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return 1 if row is None else int(row[0])
