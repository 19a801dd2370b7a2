# SPDX-License-Identifier: Apache-2.0
"""`rackwatt maintenance`, `shift` and `ack`: what is typed, and what the journal keeps of it."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from collector.command_books import two_hours
from typer.testing import CliRunner, Result

from rackwatt.collector.cli import app
from rackwatt.collector.ledger import LedgerReader
from rackwatt.collector.watchkeeping.log import read_log
from rackwatt.wire.clock import SYSTEM_CLOCK

WHO = ("--author", "N. Idrissi")
WHY = (*WHO, "--reason", "filter")
MINUTE = 60_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return two_hours(tmp_path)


def call(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)])


def listed(data: Path) -> dict[str, str]:
    found = call(data, "maintenance", "list", "--json")
    assert found.exit_code == 0
    return {one["asset"]: one["state"] for one in json.loads(found.stdout)}


def test_an_asset_goes_out_stays_longer_and_comes_back(data: Path) -> None:
    assert "Nothing is out" in call(data, "maintenance", "list").stdout
    begun = call(data, "maintenance", "start", "p", "--for", "2h", *WHY)
    assert begun.exit_code == 0, begun.stderr
    assert "p is out for maintenance from" in begun.stdout
    assert listed(data) == {"p": "out"}
    assert call(data, "maintenance", "extend", "p", "--for", "9h", *WHY).exit_code == 0
    later = call(data, "maintenance", "start", "g", "--from", "2099-01-01", "--for", "1h", *WHY)
    assert "g will be out" in later.stdout
    assert listed(data) == {"p": "out", "g": "planned"}
    assert "back in service" in call(data, "maintenance", "end", "p", *WHY).stdout
    assert "called off" in call(data, "maintenance", "end", "g", *WHY).stdout
    assert listed(data) == {"p": "ended", "g": "called off"}
    table = call(data, "maintenance", "list").stdout
    assert "N. Idrissi" in table
    assert "called off" in table
    with closing(LedgerReader(data / "ledger.db")) as books:
        outage = read_log(books).outages[0]
        assert outage.end_ms is not None
        assert outage.until_ms - outage.start_ms > 8 * 60 * MINUTE
        assert books.verify() is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("start", "q", "--for", "2h", *WHY), "no asset, rack or device 'q'"),
        (("start", "p", *WHY), "say until when"),
        (("start", "p", "--for", "2h", "--until", "18:00", *WHY), "say until when"),
        (("start", "p", "--for", "two", *WHY), "--for: a duration must be"),
        (("start", "p", "--for", "900d", *WHY), "change the site file"),
        (("start", "p", "--until", "2020-01-01", *WHY), "has passed already"),
        (("start", "p", "--until", "25:00", *WHY), "--until: expects a time"),
        (("start", "p", "--for", "1h", *WHO, "--reason", " "), "--reason: must not be empty"),
        (("start", "p", "--from", "2026-06-01", "--for", "99h", *WHY), "has passed already"),
        (("end", "p", *WHY), "p is not out for maintenance"),
        (("extend", "p", "--for", "1h", *WHY), "p is not out for maintenance"),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(
    data: Path, arguments: tuple[str, ...], text: str
) -> None:
    found = call(data, "maintenance", *arguments)
    assert found.exit_code == 2
    assert text in found.stderr
    assert listed(data) == {}


def test_an_asset_is_out_once_and_does_not_come_back_tomorrow(data: Path) -> None:
    call(data, "maintenance", "start", "p", "--until", "23:59", *WHY)
    again = call(data, "maintenance", "start", "p", "--for", "1h", *WHY)
    assert again.exit_code == 2
    assert "out for maintenance already, by N. Idrissi: filter" in again.stderr
    end = call(data, "maintenance", "end", "p", "--at", "2099-01-01", *WHY)
    assert end.exit_code == 2
    assert "has not come yet" in end.stderr
    other = call(data, "maintenance", "end", "g", *WHY)
    assert "out are: p" in other.stderr


def test_the_log_of_a_shift(data: Path) -> None:
    assert "Nothing was said" in call(data, "shift", "log").stdout
    call(data, "shift", "note", "before", *WHO)
    begun = call(data, "shift", "begin", *WHO, "--with", "S. Tazi", "--with", " ")
    assert "N. Idrissi has the watch" in begun.stdout
    assert call(data, "shift", "note", "vendor on site", "--asset", "p", *WHO).exit_code == 0
    call(data, "ack", "SafetyLeak", "--label", "device=p", "--note", "on my way", *WHO)
    shown = json.loads(call(data, "shift", "log", "--json").stdout)
    assert [line["name"] for line in shown] == ["shift_begin", "shift_note", "ack"]
    assert shown[2]["subject"] == "SafetyLeak{device=p}"
    assert len(json.loads(call(data, "shift", "log", "--last", "1h", "--json").stdout)) == 4
    table = call(data, "shift", "log").stdout
    assert "vendor on site" in table
    assert "before" not in table
    with closing(LedgerReader(data / "ledger.db")) as books:
        shift = read_log(books).shift(SYSTEM_CLOCK.now_ms())
        assert shift is not None
        assert (shift.author, shift.crew) == ("N. Idrissi", ("S. Tazi",))
    for wrong, text in [
        (("note", " ", *WHO), "must not be empty"),
        (("note", "x", "--asset", "nobody", *WHO), "'nobody'"),
        (("begin", "--author", " "), "--author: must not be empty"),
        (("log", "--last", "soon"), "--last: a duration must be"),
    ]:
        found = call(data, "shift", *wrong)
        assert (found.exit_code, text in found.stderr) == (2, True), found.stderr


def test_an_acknowledgement_holds_half_an_hour_at_most(data: Path) -> None:
    note = ("--note", "on my way", *WHO)
    for length in ("31min", "2h"):
        found = call(data, "ack", "SafetyLeak", "--for", length, *note)
        assert found.exit_code == 2
        assert "at most 30 min" in found.stderr
    assert call(data, "ack", "SafetyLeak", *note).exit_code == 0
    assert call(data, "ack", "SafetyLeak", "--for", "5min", *note).exit_code == 0
    with closing(LedgerReader(data / "ledger.db")) as books:
        first, second = read_log(books).acks
    assert 29 * MINUTE < first.until_ms - first.time_ms <= 30 * MINUTE
    assert 4 * MINUTE < second.until_ms - second.time_ms <= 5 * MINUTE
    assert (first.author, first.note, first.labels) == ("N. Idrissi", "on my way", {})


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--label", "device"), 2, "expects NAME=VALUE"),
        (("--alertmanager", "nowhere"), 2, "begins with http"),
        (("--alertmanager", "http://127.0.0.1:1"), 1, "taken unchecked"),
        (("--alertmanager", "http://am.example.org", "--alertmanager-token-file", "T"), 2, "clear"),
        (("--alertmanager", "http://127.0.0.1", "--alertmanager-ca-file", "N"), 2, "no file N"),
    ],
)
def test_an_acknowledgement_that_does_not_do(
    data: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    token = data / "token"
    token.write_text("a-secret-of-some-length")
    given = [str(token) if one == "T" else one for one in arguments]
    found = call(data, "ack", "SafetyLeak", "--note", "x", *WHO, *given)
    assert (found.exit_code, text in found.stderr) == (code, True), found.stderr
    assert call(data, "shift", "log", "--json").stdout == "[]\n"


def test_words_stay_on_their_line(data: Path) -> None:
    odd = "looked\n- [critical] forged\x1b[2J\u202e"
    assert call(data, "shift", "note", odd, *WHO).exit_code == 0
    assert call(data, "shift", "note", "x" * 2001, *WHO).exit_code == 2
    (line,) = json.loads(call(data, "shift", "log", "--json").stdout)
    assert line["text"] == "looked - [critical] forged[2J"
