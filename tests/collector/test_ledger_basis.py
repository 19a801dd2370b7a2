# SPDX-License-Identifier: Apache-2.0
"""By what rows were booked: the journal says it, and verification books them again by it."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PARAMETERS, PLAIN, hour_of
from collector.command_books import SITE, call, two_hours
from collector.forging import rebuild, tamper, without_bases

from rackwatt.collector.accounting.battery import BatteryParameters
from rackwatt.collector.accounting.factor_series import FactorLine
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.ledger import InputRecord, Ledger, LedgerReader, Refusal
from rackwatt.collector.ledger.basis import Origin, rules_from, words_of
from rackwatt.collector.ledger.chain import canonical
from rackwatt.collector.ledger.commands.basis_words import changes
from rackwatt.collector.ledger.rules import Rules
from rackwatt.collector.ledger.verify import verify
from rackwatt.wire.clock import ManualClock

OLD = SiteFactors(shipped(), "MA")
NEW = SiteFactors(shipped(), "MA", overrides={"grid": {"direct": 540.0}})
FILES = Origin(software="1.0", time_zone="UTC", tz_version="2026a", files={"site.yaml": "a" * 64})
WHEN = BEGIN + HOUR


def opened(path: Path, factors: SiteFactors = OLD, origin: Origin = FILES) -> Ledger:
    clock = ManualClock(WHEN)
    return Ledger(path, PLAIN, factors, PARAMETERS, 300.0, clock=clock, origin=origin)


def readings() -> list[InputRecord]:
    return hour_of(range(0, 5400, 10))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """60 minutes booked by the old factor, 29 by the new one."""
    path = tmp_path / "ledger.db"
    book = opened(path)
    book.apply(readings(), 1)
    book.close_intervals(BEGIN + 61 * MINUTE)
    book.close()
    book = opened(path, NEW)
    book.close_intervals(BEGIN + 90 * MINUTE)
    book.close()
    return path


def carbon(path: Path, minute: int) -> float:
    with LedgerReader(path) as reader:
        (row,) = reader.rows(BEGIN + minute * MINUTE, BEGIN + minute * MINUTE + 1)
        value: float = row.data["grid_factors"]["direct"]
        return value


def test_a_changed_factor_without_a_restatement_is_sound(path: Path) -> None:
    assert (carbon(path, 59), carbon(path, 60)) == (554.24, 540.0)
    with_site = verify(path, site=PLAIN, factors=NEW, battery=PARAMETERS, initial_watt_hours=300.0)
    for found in (verify(path), with_site):
        assert found.findings == []
        assert (found.recomputed, found.guessed, found.skipped, found.bases) == (89, 0, 0, 2)
        assert found.older is not None
        assert found.older.rows == 60
        assert (found.older.start_ms, found.older.end_ms) == (BEGIN, BEGIN + 60 * MINUTE)
    assert verify(path, site=PLAIN).from_inputs == 89


def test_after_a_restatement_it_is_sound_and_nothing_is_older(path: Path) -> None:
    book = opened(path, NEW)
    book.restate(BEGIN, BEGIN + 2 * HOUR, "ana", "published")
    assert book.book_again().restated == 89
    book.close()
    found = verify(path)
    assert found.findings == []
    assert found.superseded == 89
    assert found.older is None
    assert carbon(path, 3) == 540.0


def test_what_did_not_change_is_said_once(path: Path) -> None:
    with LedgerReader(path) as reader:
        acts = reader.acts("basis")
    assert [act.seq for act in acts] == [1, 62]
    assert {act.time_ms for act in acts} == {WHEN}
    book = opened(path, NEW, replace(FILES, software="1.1"))
    book.apply([InputRecord("p", WHEN + 1, {"power_watts": 900.0}, WHEN + 1)], 2)
    book.close_intervals(BEGIN + 90 * MINUTE)
    (_, before, last) = book.acts("basis")
    assert last.data["rules"]["factors"] == {"entry": before.seq}
    assert len(canonical(dict(last.data))) < 500
    book.close()
    found = verify(path)
    assert found.findings == []
    assert found.older is not None
    assert found.older.rows == 59, "another release books no otherwise"


def test_opening_alone_notes_nothing(path: Path) -> None:
    book = opened(path, OLD)
    head = book.head()
    book.close_intervals(BEGIN + 90 * MINUTE)
    assert book.head() == head
    with pytest.raises(Refusal, match="what the ledger itself records"):
        book.record_act("basis", {}, "ana", "by hand")
    book.close()


def test_an_edited_basis_is_found(path: Path) -> None:
    tamper(path, "UPDATE journal SET row = replace(row, '540.0', '541.0') WHERE seq = 62")
    messages = [(f.seq, f.message) for f in verify(path).findings]
    assert (62, "it was changed: its hash is not that of what it says") in messages
    rebuild(path)
    found = verify(path)
    assert {f.start_ms for f in found.findings} == {
        BEGIN + minute * MINUTE for minute in range(60, 89)
    }, "rows do not fit it"


@pytest.mark.parametrize("data", ["{}", '{"data":{"rules":7}}', "no JSON", '{"data":[]}'])
def test_a_basis_that_is_none_is_named(path: Path, data: str) -> None:
    forger = sqlite3.connect(path, isolation_level=None)
    forger.execute("DROP TRIGGER journal_no_update")
    forger.execute("UPDATE journal SET row = ? WHERE seq = 62", (data,))
    forger.close()
    found = verify(path)
    assert any("cannot be booked again by this basis" in f.message for f in found.findings)
    assert found.skipped == 29


def test_a_row_that_fits_a_later_basis_only_is_found_in_a_chain_that_was_rebuilt(
    path: Path,
) -> None:
    with LedgerReader(path) as reader:
        (row,) = reader.rows(BEGIN + 10 * MINUTE, BEGIN + 10 * MINUTE + 1)
        (before,) = reader.rows(BEGIN + 9 * MINUTE, BEGIN + 9 * MINUTE + 1)
    text, _ = Rules(NEW, PARAMETERS, 300.0).row(row.start_ms, row.booking, before.battery)
    forger = sqlite3.connect(path, isolation_level=None)
    forger.execute("DROP TRIGGER journal_no_update")
    forger.execute("UPDATE journal SET row = ? WHERE seq = ?", (text, row.seq))
    forger.close()
    rebuild(path)
    findings = verify(path).findings
    assert any(
        f.seq == row.seq and f.message.startswith("booked again it differs in") for f in findings
    )


def test_a_ledger_of_before_bases_needs_the_site(path: Path) -> None:
    without_bases(path)
    found = verify(path)
    assert found.findings == []
    assert (found.recomputed, found.skipped, found.bases) == (0, 89, 0)
    found = verify(path, site=PLAIN, factors=OLD, battery=PARAMETERS, initial_watt_hours=300.0)
    assert (found.recomputed, found.guessed) == (89, 89)
    assert {f.start_ms for f in found.findings} == {
        BEGIN + minute * MINUTE for minute in range(60, 89)
    }
    assert all("no basis" in f.message for f in found.findings)


def test_a_ledger_of_before_bases_goes_on(path: Path, tmp_path: Path) -> None:
    book = opened(tmp_path / "old.db")
    book.apply(readings(), 1)
    book.close_intervals(BEGIN + 61 * MINUTE)
    book.close()
    without_bases(tmp_path / "old.db")
    book = opened(tmp_path / "old.db")
    book.close_intervals(BEGIN + 90 * MINUTE)
    book.close()
    found = verify(tmp_path / "old.db")
    assert found.findings == []
    assert (found.recomputed, found.guessed, found.bases) == (89, 60, 1)


def test_another_capacity_does_not_contradict_readings(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = opened(path)
    soc = [
        InputRecord("b", r.time_ms, {**r.values, "soc_ratio": 0.4}, r.received_ms)
        if r.device == "b"
        else r
        for r in readings()
    ]
    book.apply(soc, 1)
    book.close_intervals(BEGIN + 90 * MINUTE)
    book.close()
    other = BatteryParameters(2000.0, 0.9, 0.9)
    found = verify(path, site=PLAIN, factors=OLD, battery=other)
    assert found.findings == []
    assert found.older is not None
    assert found.older.rows == 89


def test_another_site_file_is_named_where_readings_say_otherwise(path: Path) -> None:
    forger = sqlite3.connect(path, isolation_level=None)
    forger.execute("UPDATE inputs SET value = value + 1 WHERE time_ms = ?", (BEGIN + MINUTE,))
    forger.close()
    same = verify(path, site=PLAIN, files={"site.yaml": "a" * 64})
    assert not any("another site.yaml" in f.message for f in same.findings)
    other = verify(path, site=PLAIN, files={"site.yaml": "b" * 64})
    assert all(
        "booked by another site.yaml (SHA-256 aaaaaaaaaaaa..." in f.message for f in other.findings
    )


def test_rules_come_back_as_they_were() -> None:
    lines = (
        FactorLine("grid", "direct", BEGIN, BEGIN + HOUR, 500.0, "marginal", True, "me"),
        FactorLine("grid", "direct", BEGIN + HOUR, BEGIN + 2 * HOUR, 501.5, source="you"),
        FactorLine("grid_carbon_free", "direct", BEGIN, BEGIN + HOUR, 0.4),
    )
    factors = SiteFactors(
        shipped(),
        "MA",
        overrides={"genset": {"direct": 700.0}},
        variants={"wind": "offshore"},
        grid_carbon_free_ratio=0.3,
        initial={"direct": 1.0},
        series=lines,
    )
    rules = Rules(factors, PARAMETERS, 5.0)
    again = rules_from(json.loads(canonical(words_of(rules, FILES))))
    assert (again.battery, again.initial_watt_hours) == (PARAMETERS, 5.0)
    year = 365 * 24 * HOUR
    for at in (0, BEGIN - 4 * year, BEGIN, BEGIN + HOUR, BEGIN + 3 * HOUR, BEGIN + 4 * year):
        assert again.factors.at(at) == factors.at(at)
        for item, scope in (("grid", "direct"), ("wind", "life_cycle"), ("genset", "direct")):
            assert again.factors.find(item, scope, at) == factors.find(item, scope, at)  # type: ignore[arg-type]


def test_a_year_of_hours_is_small() -> None:
    lines = tuple(
        FactorLine("grid", "life_cycle", BEGIN + h * HOUR, BEGIN + (h + 1) * HOUR, 600.0 + h / 7)
        for h in range(8760)
    )
    words = words_of(Rules(SiteFactors(shipped(), "MA", series=lines), PARAMETERS), FILES)
    assert len(canonical(words)) < 500_000


def test_changes_in_plain_words(path: Path) -> None:
    with LedgerReader(path) as reader:
        first, second = reader.bases().items
    assert changes(first, second) == ["grid direct: 554.24 -> 540 g/kWh"]
    line = FactorLine("grid", "direct", BEGIN, BEGIN + HOUR, 500.0)
    factors = SiteFactors(shipped(), "MA", grid_carbon_free_ratio=0.5, series=(line,))
    rules = Rules(factors, BatteryParameters(2000.0, 0.95, 0.9), 0.0)
    origin = Origin("1.1", "Africa/Casablanca", "2026b", {"site.yaml": "b" * 64, "f.csv": "c" * 64})
    third = replace(second, words=words_of(rules, origin), rules=rules)
    assert changes(first, third) == [
        "grid direct: 554.24 -> 500 g/kWh from 2026-05-28T22:00Z to 2026-05-28T23:00Z",
        "grid carbon-free: 0.215 -> 0.5",
        "battery: capacity 1000 -> 2000 Wh",
        "battery: charge efficiency 0.9 -> 0.95",
        "battery: first stock 300 -> 0 Wh",
        "rackwatt: 1.0 -> 1.1",
        "time zone: UTC -> Africa/Casablanca",
        "time zone data: 2026a -> 2026b",
        "f.csv: new (SHA-256 cccccccccccc)",
        "site.yaml: changed (SHA-256 aaaaaaaaaaaa -> bbbbbbbbbbbb)",
    ]


def test_commands_say_what_was_changed_and_how_to_restate_it(tmp_path: Path) -> None:
    data = two_hours(tmp_path)
    assert "booked under an older basis" not in call("verify", "--data", str(data)).stdout
    changed = SITE + "carbon: {factors: {grid: {direct: 540}}}\n"
    (data / "site.yaml").write_text(changed)
    found = call("verify", "--data", str(data))
    assert found.exit_code == 0, found.stdout
    said = " ".join(found.stdout.split())
    assert "120 closed rows were booked under an older basis than today's" in said
    assert "restate --from 2026-05-28T22:00Z --to 2026-05-29T00:00Z" in said
    shown = call("show", "--data", str(data))
    assert "120 closed rows were booked under an older basis" in shown.stderr
    span = ("--from", "2026-05-28T22:00Z", "--to", "2026-05-29T00:00Z")
    signed = ("--author", "ana", "--reason", "published")
    assert call("restate", "--data", str(data), *span, *signed).exit_code == 0
    found = call("verify", "--data", str(data))
    assert "older basis" not in found.stdout
    assert "120 booked again and 120 earlier revisions, 120 from readings" in found.stdout
    listed = call("basis", "--data", str(data)).stdout
    assert "grid direct: 554.24 -> 540 g/kWh" in listed
    assert "site.yaml: changed (SHA-256" in listed
    (data / "site.yaml").unlink()
    found = call("verify", "--data", str(data))
    assert found.exit_code == 0
    assert "none from readings: that needs --site" in found.stdout
    documents = json.loads(call("basis", "--data", str(data), "--json").stdout)
    assert [one["entry"] for one in documents][:1] == [1]
    assert len(documents) == 2
