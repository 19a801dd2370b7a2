# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger restate` and `release`: at once, or through a running accountant."""

import json
import threading
from contextlib import closing
from pathlib import Path

import pytest
import typer
from collector.books import BEGIN, HOUR, hour_of
from collector.command_books import SITE, call, make, two_hours

from rackwatt.collector.ledger import InputRecord, LedgerReader
from rackwatt.collector.ledger.commands.times import utc
from rackwatt.collector.ledger.commands.writing import Waiting, Wish, carry_out, open_ledger
from rackwatt.collector.site import load_site
from rackwatt.wire.clock import ManualClock

WHO = ("--author", "A. Amrani", "--reason", "a new factor")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return two_hours(tmp_path)


def restate(data: Path, *arguments: str) -> tuple[int, str, str]:
    found = call("restate", "--data", str(data), *arguments)
    return found.exit_code, found.stdout, found.stderr


def test_restated_rows_have_author_reason_and_new_factors(data: Path) -> None:
    factor = "carbon: {factors: {grid: {life_cycle: 500, direct: 450}}}\n"
    (data / "site.yaml").write_text(SITE + factor)
    span = ("--from", utc(BEGIN), "--to", utc(BEGIN + HOUR))
    code, text, _ = restate(data, *span, *WHO)
    assert code == 0
    assert "120 minutes came out differently" in text  # the battery carries it on
    assert "Restated from" in text
    with closing(LedgerReader(data / "ledger.db")) as reader:
        (act,) = reader.acts("restate")
        assert (act.author, act.reason) == ("A. Amrani", "a new factor")
        assert act.data["start_ms"] == BEGIN
        first, second = reader.revisions(BEGIN)
        assert (second.cause, second.author) == ("restated", "A. Amrani")
        assert first.data["carbon"] != second.data["carbon"]
        carried = reader.revisions(BEGIN + HOUR)[-1]
        assert (carried.cause, carried.revision) == ("battery", 2)
    assert call("verify", "--data", str(data)).exit_code == 0


def test_a_running_accountant_carries_the_order_out(data: Path) -> None:
    site = load_site(data / "site.yaml")
    order = {"start_ms": BEGIN, "end_ms": BEGIN + HOUR}
    with closing(open_ledger(data / "ledger.db", site)) as book:

        def serve(_: float) -> None:
            book.carry_out_orders()

        waiting = Waiting(5.0, ManualClock(), serve)
        outcome = carry_out(data / "ledger.db", site, Wish("restate", order, "me", "so"), waiting)
        assert (outcome.at_once, outcome.restated) == (False, None)
        assert book.acts("restate")[0].seq == outcome.data["seq"]


def test_an_accountant_that_does_not_answer_is_not_waited_for_ever(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = load_site(data / "site.yaml")
    clock = ManualClock()
    order = {"start_ms": BEGIN, "end_ms": BEGIN + HOUR}
    with closing(open_ledger(data / "ledger.db", site)) as book:
        with pytest.raises(typer.Exit) as caught:
            carry_out(
                data / "ledger.db",
                site,
                Wish("restate", order, "me", "so"),
                Waiting(30.0, clock, clock.advance),
            )
        assert caught.value.exit_code == 1
        assert "has not carried out order 1 in 30 s" in capsys.readouterr().err
        assert book.carry_out_orders()[0].state == "done"


def test_the_command_itself_waits_for_the_accountant(data: Path) -> None:
    site = load_site(data / "site.yaml")
    stop = threading.Event()
    with closing(open_ledger(data / "ledger.db", site)) as book:

        def serve() -> None:
            while not stop.wait(0.05):
                book.carry_out_orders()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            code, text, _ = restate(data, "--from", utc(BEGIN), "--to", utc(BEGIN + HOUR), *WHO)
        finally:
            stop.set()
            thread.join()
    assert code == 0
    assert "The accountant books it again now" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2026-05-28", "--to", "2026-05-27", *WHO), "is not before"),
        (("--from", "2020-01-01", "--to", "2020-01-02", *WHO), "nothing is booked from"),
        (("--from", "2026-05-28", "--to", "2026-05-30"), "Missing option '--author'"),
        (
            ("--from", "2026-05-28", "--to", "2026-05-30", "--author", " ", "--reason", "x"),
            "--author: must not be empty",
        ),
        (("--to", "2026-05-30", *WHO), "Missing option '--from'"),
    ],
)
def test_bad_input_changes_nothing(data: Path, arguments: tuple[str, ...], said: str) -> None:
    with closing(LedgerReader(data / "ledger.db")) as reader:
        before = reader.head()
    code, text, error = restate(data, *arguments)
    assert (code, text) == (2, "")
    assert said in error
    with closing(LedgerReader(data / "ledger.db")) as reader:
        assert reader.head() == before


def test_a_site_file_is_needed(data: Path) -> None:
    (data / "site.yaml").unlink()
    code, _, error = restate(data, "--from", "2026-05-28", "--to", "2026-05-30", *WHO)
    assert code == 2
    assert "--site: name the site file" in error


# --- release ---------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """An hour of which the PV meter's agent was 10 minutes fast."""
    records: list[InputRecord] = []
    for one in hour_of(range(0, 3611, 10)):
        if one.device == "p":
            time = one.time_ms + 600_000
            one = InputRecord("p", time, one.values, one.received_ms, False, "modbus-pv")  # noqa: PLW2901
        records.append(one)
    return make(tmp_path, records, BEGIN + HOUR)


def test_held_readings_are_listed_and_released_with_a_shift(held: Path) -> None:
    listed = call("release", "--list", "--data", str(held))
    assert listed.exit_code == 0
    assert "modbus-pv" in listed.stdout
    assert " 362 " in listed.stdout
    assert utc(BEGIN + 600_000) in listed.stdout
    begin, end = utc(BEGIN), utc(BEGIN + 2 * HOUR)
    found = call(
        "release", "--agent", "modbus-pv", "--from", begin, "--to", end, "--shift", "-600",
        "--author", "A. Amrani", "--reason", "clock was fast", "--data", str(held),
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "Released 362 readings of modbus-pv" in found.stdout
    assert "moved by -600 s" in found.stdout
    rows = json.loads(call("show", "--data", str(held), "--json").stdout)["rows"]
    assert rows[0]["sources"]["pv"] == pytest.approx(500.0)
    with closing(LedgerReader(held / "ledger.db")) as reader:
        assert reader.held() == []
        (act,) = reader.acts("release")
        assert act.data["shift_ms"] == -600_000
    assert "No reading is held" in call("release", "--data", str(held)).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--agent", "modbus-vp", "--from", "2026-05-28"), "--to: is missing"),
        (("--from", "2026-05-28", "--to", "2026-05-30"), "--agent: is missing"),
        (
            ("--agent", "modbus-vp", "--from", "2026-05-28", "--to", "2026-05-30", *WHO),
            "nothing is held of agent 'modbus-vp' (did you mean 'modbus-pv'?)",
        ),
        (
            ("--agent", "modbus-pv", "--from", "2026-01-28", "--to", "2026-01-30", *WHO),
            "what is held of it lies between",
        ),
        (
            ("--agent", "modbus-pv", "--from", "2026-05-28", "--to", "2026-05-30"),
            "--author: must not be empty",
        ),
        (
            ("--agent", "modbus-pv", "--from", "2026-05-28", "--to", "2026-05-30",
             "--shift", "99999999", *WHO),
            "booked in the future",
        ),
    ],
)  # fmt: skip
def test_a_release_that_cannot_be(held: Path, arguments: tuple[str, ...], said: str) -> None:
    found = call("release", "--data", str(held), *arguments)
    assert found.exit_code == 2
    assert said in found.stderr
