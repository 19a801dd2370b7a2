# SPDX-License-Identifier: Apache-2.0
"""The tables of ``ledger.db``.

``journal`` is the book: rows are added and never changed, which the database itself enforces.
``latest`` and ``dirty`` are indexes of it that can be made anew; ``inputs`` holds every reading
that the books use, so that any row can be recomputed.
"""

from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, field TEXT NOT NULL, UNIQUE (device, field));
CREATE TABLE IF NOT EXISTS inputs (
  series INTEGER NOT NULL, time_ms INTEGER NOT NULL, value REAL NOT NULL,
  held INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (series, time_ms)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inputs_held ON inputs (series, time_ms) WHERE held = 1;
CREATE TABLE IF NOT EXISTS registers (
  device TEXT NOT NULL, field TEXT NOT NULL, modulus REAL, resolution REAL,
  PRIMARY KEY (device, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS serials (
  device TEXT PRIMARY KEY, serial TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS swaps (
  device TEXT NOT NULL, time_ms INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
  PRIMARY KEY (device, time_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
  time_ms INTEGER NOT NULL, device TEXT NOT NULL, field TEXT NOT NULL, code TEXT NOT NULL,
  before REAL NOT NULL, after REAL NOT NULL, PRIMARY KEY (time_ms, device, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirty (
  start_ms INTEGER PRIMARY KEY, cause TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
  seq INTEGER PRIMARY KEY, start_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
  cause TEXT NOT NULL, author TEXT NOT NULL, row TEXT NOT NULL, previous TEXT NOT NULL,
  hash TEXT NOT NULL, UNIQUE (start_ms, revision));
CREATE TABLE IF NOT EXISTS latest (
  start_ms INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS cursors (
  name TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (
  name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
