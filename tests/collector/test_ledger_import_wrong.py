# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger import` with bad input: what, where, what to do; and nothing is written."""

from pathlib import Path

import pytest
from collector.flows_csv import FIXED, GOLDEN, SITE, complaints, line_of, run, text_of
from typer.testing import CliRunner

from rackwatt.collector.ledger.commands import ledger_app
from rackwatt.collector.ledger.importing.lines import BEHIND, COLUMNS, Line
from rackwatt.collector.ledger.importing.typist import SecondTypist, fits

ORDER = "rows must follow each other in UTC, each time once"
EXAMPLE = "like 2026-10-01T00:00:00+01:00"
OTHER_WAY = "what flows the other way has a column of its own"
NUMBER = "Wh with a decimal point, or nothing for unknown"
ZERO = "2026-09-30T23:00:00Z"


def changed(column: str, text: str, line: str = GOLDEN[1]) -> str:
    """A golden line with another cell."""
    cells = line.split(",")
    cells[FIXED.index(column)] = text
    return ",".join(cells)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "grid_import->grid_imports",
            [
                "flows.csv:1:grid_import: column is missing (did you name it 'grid_imports'?)",
                "flows.csv:1:grid_imports: unknown column (did you mean 'grid_import'?)",
            ],
        ),
        ("load_other->pv", ["flows.csv:1:load_other: column is missing", "flows.csv:1:pv: column"]),
        (
            "load_other->ppa_winds",
            [
                "flows.csv:1:load_other: column is missing (given: ppa_winds)",
                "flows.csv:1:ppa_winds: unknown column (did you mean 'ppa_wind'?)",
            ],
        ),
        (
            "wind->",
            [
                "flows.csv:1:wind: column is missing",
                "flows.csv:1:(column 4): unknown column",
            ],
        ),
    ],
)
def test_a_wrong_header(tmp_path: Path, header: str, expected: list[str]) -> None:
    old, new = header.split("->")
    names = [new if name == old else name for name in FIXED]
    found = complaints(tmp_path, text_of(GOLDEN, names))
    assert len(found) == len(expected)
    for line, begin in zip(found, expected, strict=True):
        assert line.startswith(begin)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    semicolons = text_of(GOLDEN).replace(",", ";")
    hint = "(separate them by commas, and write decimals with a point)"
    assert complaints(tmp_path, semicolons) == [
        f"flows.csv:1: cells are separated by semicolons {hint}"
    ]
    hint = "(save it as 'CSV UTF-8')"
    assert complaints(tmp_path, text_of(GOLDEN).encode("utf-16")) == [
        f"flows.csv:1: is not text in UTF-8 {hint}"
    ]
    begin = "flows.csv:1: is empty (its first line must be time,interval_seconds,pv,"
    for text in ("", "\n", ",,\n", "\ufeff"):
        assert complaints(tmp_path, text)[0].startswith(begin)
    nothing = "flows.csv:2: there are no rows below the header"
    assert complaints(tmp_path, text_of([])) == [nothing]


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("time", "", f"is empty ({EXAMPLE})"),
        (
            "time",
            "2026-10-01T01:00:00",
            f"'2026-10-01T01:00:00' has no offset from UTC ({EXAMPLE}; a Z at its end for UTC)",
        ),
        ("time", "2026-10-01", f"'2026-10-01' has no offset from UTC ({EXAMPLE}; a Z at its end"),
        ("time", "1.10.2026 01:00", f"no time of ISO 8601: '1.10.2026 01:00' ({EXAMPLE})"),
        ("time", "2026-02-30T01:00Z", f"no time of ISO 8601: '2026-02-30T01:00Z' ({EXAMPLE})"),
        ("time", "2026-10-01x01:00Z", f"no time of ISO 8601: '2026-10-01x01:00Z' ({EXAMPLE})"),
        ("time", "0001-01-01T00:00+01:00", f"the year 1 is not from 1970 to 2199 ({EXAMPLE})"),
        ("interval_seconds", "", "is empty (how long the row is, in seconds)"),
        ("interval_seconds", "0", "must be more than 0, not 0 (how long the row is, in seconds)"),
        ("interval_seconds", "-60", "must be more than 0, not -60 (how long the row is, in"),
        ("interval_seconds", "1h", "is no number: '1h' (how long the row is, in seconds)"),
        ("pv", "-1", f"is negative: -1 ({OTHER_WAY})"),
        ("load_cooling", "-0.001", f"is negative: -0.001 ({OTHER_WAY})"),
        ("wind", "nan", f"is no number: 'nan' ({NUMBER})"),
        ("wind", "inf", f"is no number: 'inf' ({NUMBER})"),
        ("wind", "-Infinity", f"is no number: '-Infinity' ({NUMBER})"),
        ("grid_export", "1_000", f"is no number: '1_000' ({NUMBER})"),
        ("grid_export", "\u0661\u0662", f"is no number: '\u0661\u0662' ({NUMBER})"),
        ("genset", "null", f"is no number: 'null' ({NUMBER})"),
        ("genset", "1e18", "is more than 1e+18: 1e18 (is it in Wh?)"),
        ("genset", "1e999", "is more than 1e+18: 1e999 (is it in Wh?)"),
    ],
)
def test_a_wrong_cell(tmp_path: Path, column: str, text: str, expected: str) -> None:
    (found,) = complaints(tmp_path, text_of([GOLDEN[0], changed(column, text)]))
    assert found.startswith(f"flows.csv:3:{column}: {expected}")


def test_a_cell_that_is_no_text(tmp_path: Path) -> None:
    text = text_of([changed("wind", "?")]).encode().replace(b"?", b"\xff")
    assert complaints(tmp_path, text) == [f"flows.csv:2:wind: is no number: '\\udcff' ({NUMBER})"]


@pytest.mark.parametrize(
    ("times", "line", "expected"),
    [
        (("00:00", "00:00"), 3, f"{ZERO} is also the time of the row before it (line 2)"),
        (
            ("01:00", "00:00"),
            3,
            f"starts at {ZERO}, before the row before it (line 2) ends at 2026-10-01T01:00:00Z",
        ),
        (
            ("00:00", "01:00", "01:30"),
            4,
            "starts at 2026-10-01T00:30:00Z, before the row before it (line 3) ends at ",
        ),
        (("00:00", "00:59:59.999"), 3, "starts at 2026-09-30T23:59:59.999000Z, before the row"),
    ],
)
def test_rows_out_of_order(
    tmp_path: Path, times: tuple[str, ...], line: int, expected: str
) -> None:
    rows = [changed("time", f"2026-10-01T{time}+01:00") for time in times]
    (found,) = complaints(tmp_path, text_of(rows))
    assert found.startswith(f"flows.csv:{line}:time: {expected}")
    assert found.endswith(f" ({ORDER})")


def test_order_is_judged_in_utc(tmp_path: Path) -> None:
    """By their letters these times ascend; in UTC they are the same."""
    rows = [changed("time", t) for t in ("2026-10-01T00:00+00:00", "2026-10-01T01:00+01:00")]
    (found,) = complaints(tmp_path, text_of(rows))
    assert found.startswith("flows.csv:3:time: 2026-10-01T00:00:00Z is also the time of the row")


def test_a_row_with_too_many_cells_or_too_few(tmp_path: Path) -> None:
    found = complaints(tmp_path, text_of([GOLDEN[0] + ",5", GOLDEN[1][:-5]]))
    hint = "(is a comma missing or too many, or a decimal comma in a number?)"
    assert found == [
        f"flows.csv:2: has 13 cells, the header has 12 {hint}",
        f"flows.csv:3: has 11 cells, the header has 12 {hint}",
    ]


def test_an_open_quotation_mark(tmp_path: Path) -> None:
    found = complaints(tmp_path, text_of([GOLDEN[0], '"' + GOLDEN[1]]))
    assert found == [
        "flows.csv:3: broken CSV: unexpected end of data (is a quotation mark not closed?)"
    ]


def test_all_errors_of_a_file_are_listed_but_no_more_than_twenty(tmp_path: Path) -> None:
    lines = [line_of(i, {"pv": -1.0} if i % 2 else {}) for i in range(10)]
    found = complaints(tmp_path, text_of([*lines, "x" + lines[0]]))
    assert [line.split(":")[1] for line in found] == ["3", "5", "7", "9", "11", "12"]
    lines = [line_of(i, {"pv": -1.0, "wind": -2.0}) for i in range(100)]
    found = complaints(tmp_path, text_of(lines))
    assert len(found) == 21
    assert found[-1] == "20 errors shown; the rest of the file was not checked"


def test_bad_flows_leave_an_older_ledger_as_it_was(tmp_path: Path) -> None:
    assert run(tmp_path, text_of(GOLDEN)).exit_code == 0
    before = (tmp_path / "ledger.csv").read_bytes()
    assert run(tmp_path, text_of([*GOLDEN, GOLDEN[0]])).exit_code == 2
    assert (tmp_path / "ledger.csv").read_bytes() == before
    done = run(tmp_path, text_of([*GOLDEN, GOLDEN[0]]), "--out", "-")
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_wrong_site_file_is_named_with_line_and_key(tmp_path: Path) -> None:
    done = run(tmp_path, text_of(GOLDEN), site=SITE.replace("charge_efficiency: 0.9", "charge: 1"))
    assert done.exit_code == 2
    assert "site.yaml:8: battery.charge: unknown key (did you mean 'charge_efficiency'?)" in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (".", "is a folder: name a file in it"),
        ("nowhere/ledger.csv", "make it first"),
        ("flows.csv", "is also read: write the ledger to another file"),
        ("site.yaml", "is also read: write the ledger to another file"),
    ],
)
def test_a_place_that_cannot_be_right(tmp_path: Path, out: str, expected: str) -> None:
    done = run(tmp_path, text_of(GOLDEN), "--out", str(tmp_path / out))
    assert done.exit_code == 2
    assert expected in done.stderr
    assert (tmp_path / "flows.csv").read_text() == text_of(GOLDEN)


def test_two_things_for_standard_output(tmp_path: Path) -> None:
    done = run(tmp_path, text_of(GOLDEN), "--out", "-", "--json")
    assert done.exit_code == 2
    assert "would both write to stdout" in done.stderr


def test_flows_that_are_not_there(tmp_path: Path) -> None:
    run(tmp_path, text_of(GOLDEN))
    (tmp_path / "ledger.csv").unlink()
    (tmp_path / "flows.csv").rename(tmp_path / "other.csv")
    (tmp_path / "flows.csv").mkdir()
    (tmp_path / "flows.csv" / "x").touch()
    where = ["--site", str(tmp_path / "site.yaml"), "--out", str(tmp_path / "ledger.csv")]
    for name, reason in (
        ("none.csv", "No such file or directory"),
        ("flows.csv", "Is a directory"),
    ):
        done = CliRunner().invoke(ledger_app, ["import", str(tmp_path / name), *where])
        assert done.exit_code == 2
        assert f"{name}: cannot be read: {reason}" in done.stderr
        assert not (tmp_path / "ledger.csv").exists()


def test_a_full_disk_is_no_wrong_input(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    done = run(tmp_path, text_of(GOLDEN), "--out", str(full))
    assert done.exit_code == 1
    assert "/dev/full: cannot be written: No space left on device" in done.stderr


def test_a_full_disk_is_seen_by_the_second_process_too() -> None:
    full = Path("/dev/full")
    if not full.exists() or not fits():
        pytest.skip("no /dev/full or no second process here")
    lines: list[Line] = [["2026-10-01T00:00:00Z", *[0.0] * (len(COLUMNS) - 2), ""]]
    lines[0] += [0.0] * len(BEHIND)
    with full.open("w", encoding="utf-8") as file:
        typist = SecondTypist(file)
        with pytest.raises(OSError, match="No space left on device"):
            _write_for_ever(typist, lines * 100)
        typist.abandon()


def _write_for_ever(typist: SecondTypist, lines: list[Line]) -> None:
    while True:
        typist.take(lines, {"life_cycle": {}, "operational": {}})
