# SPDX-License-Identifier: Apache-2.0
"""`rackwatt site move`: the file, the books and the stores."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE
from typer.testing import CliRunner, Result

from rackwatt.collector.ledger import InputRecord, LedgerReader
from rackwatt.collector.ledger.commands.times import utc
from rackwatt.collector.ledger.commands.writing import open_ledger
from rackwatt.collector.site import load_site
from rackwatt.collector.site.cli import site_app
from rackwatt.collector.store import EmbeddedStore, Row, read
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.influx import InfluxStore
from rackwatt.collector.store.influxql import rows_of_span
from rackwatt.wire.clock import ManualClock
from servers.fixtures import InfluxBucket, InfluxDB, influx_bucket, influxdb

__all__ = ["InfluxDB", "influx_bucket", "influxdb"]  # fixtures

SITE = """\
site: {id: demo, timezone: Africa/Casablanca, country: MA}
meters:
  - {id: g, role: grid}
  - {id: it, role: it, position: pdu_output, sum: ["r[1-2]-01-pdu"]}
halls:
  - id: hall-a
    rows: [{id: row-1, racks: r1-01, nodes: "{rack}-n1", pdus: "{rack}-pdu"}]
    devices: [cdu-1]
  - id: hall-b
    rows: [{id: row-2, racks: r2-01, nodes: "{rack}-n1", pdus: "{rack}-pdu"}]
tenants:
  - {id: lab, kind: researcher, assignments: [{nodes: r1-01-n1}]}
"""
SINCE = BEGIN + HOUR
TO = "hall-b/row-2/r2-01"
WHO = ("--author", "A. Amrani", "--reason", "board replaced")


def move(data: Path, device: str = "r1-01-n1", *more: str, to: str = TO) -> Result:
    arguments = ["move", device, "--to", to, "--since", utc(SINCE), "--data", str(data)]
    return CliRunner().invoke(site_app, [*arguments, *WHO, *more])


def rows(device: str, hall: str, row: str, rack: str) -> list[Row]:
    tags = {"device": device, "hall": hall, "rack": rack, "row": row, "site": "demo"}
    named = tuple((name, value) for name, value in tags.items() if value)
    kind = "gpu" if "/" in device else "power"
    times = range(BEGIN, BEGIN + 2 * HOUR, 10 * MINUTE)
    return [Row(kind, named, {"power_watts": float(time % 977)}, time) for time in times]


EVERYTHING = [
    *rows("r1-01-n1", "hall-a", "row-1", "r1-01"),
    *rows("r1-01-n1/GPU-0", "hall-a", "row-1", "r1-01"),
    *rows("r1-01-n10", "hall-a", "row-1", "r1-01"),
    *rows("r2-01-n1", "hall-b", "row-2", "r2-01"),
    *rows("cdu-1", "hall-a", "", ""),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two hours of books, and rows of some devices in the embedded store."""
    (tmp_path / "site.yaml").write_text(SITE)
    records = [
        InputRecord(device, time, {"energy_import_watt_hours": watts * (time - BEGIN) / HOUR}, time)
        for time in range(BEGIN, BEGIN + 2 * HOUR + MINUTE, 10_000)
        for device, watts in (("g", 1000.0), ("r1-01-pdu", 600.0), ("r2-01-pdu", 300.0))
    ]
    site = load_site(tmp_path / "site.yaml")
    with closing(open_ledger(tmp_path / "ledger.db", site)) as book:
        book.apply(records, 1)
        book.close_intervals(BEGIN + 2 * HOUR + MINUTE)

    async def fill() -> None:
        store = EmbeddedStore(tmp_path / "store", clock=ManualClock(BEGIN + 2 * HOUR))
        await store.start()
        await store.write(EVERYTHING)
        await store.aclose()

    asyncio.run(fill())
    return tmp_path


def halls(data: Path, kind: str, device: str) -> list[tuple[bool, str]]:
    """Before or since the move, and hall, row and rack, of each stored row."""
    return [
        (row.time_ms >= SINCE, "/".join(row.tags.get(tag, "") for tag in ("hall", "row", "rack")))
        for row in read(data / "store", kind, device)
    ]


def test_a_node_moves_in_file_books_and_store(data: Path) -> None:
    found = move(data)
    assert found.exit_code == 0, found.output
    assert "r1-01-n1: hall-a/row-1/r1-01 -> hall-b/row-2/r2-01 since" in found.stdout
    assert "embedded: 12 rows corrected in gpu, power" in found.stdout
    assert "speaks for hall hall-a" in found.stdout
    site = load_site(data / "site.yaml")
    place = site.place("r1-01-n1/GPU-0", SINCE)
    assert place is not None
    assert place.rack == "r2-01"
    for kind, device in (("power", "r1-01-n1"), ("gpu", "r1-01-n1/GPU-0")):
        places = set(halls(data, kind, device))
        assert places == {(False, "hall-a/row-1/r1-01"), (True, TO)}
    assert {place for _, place in halls(data, "power", "r1-01-n10")} == {"hall-a/row-1/r1-01"}
    with closing(LedgerReader(data / "ledger.db")) as reader:
        (act,) = reader.acts("site_move")
        assert (act.author, act.reason) == ("A. Amrani", "board replaced")
        assert act.data["from"] == "hall-a/row-1/r1-01"
        assert (act.data["to"], act.data["since_ms"]) == (TO, SINCE)
        (restated,) = reader.acts("restate")
        assert restated.data["start_ms"] == SINCE
        assert {entry.kind for entry in reader.entries(act.seq, 9999)} == {"act", "attribution"}


def test_it_may_be_called_again(data: Path) -> None:
    assert move(data).exit_code == 0
    text = (data / "site.moves.yaml").read_text()
    with closing(LedgerReader(data / "ledger.db")) as reader:
        head = reader.head()
    found = move(data)
    assert found.exit_code == 0, found.output
    assert "already" in found.stdout
    assert "recorded before" in found.stdout
    assert "embedded: 0 rows corrected" in found.stdout
    assert (data / "site.moves.yaml").read_text() == text
    with closing(LedgerReader(data / "ledger.db")) as reader:
        assert reader.head() == head


def test_a_dry_run_counts_and_changes_nothing(data: Path) -> None:
    with closing(LedgerReader(data / "ledger.db")) as reader:
        head = reader.head()
    found = move(data, "r1-01-n1", "--dry-run")
    assert found.exit_code == 0, found.output
    assert "Would move r1-01-n1 from hall-a/row-1/r1-01" in found.stdout
    assert "12 rows would be corrected" in found.stdout
    assert not (data / "site.moves.yaml").exists()
    assert {place for _, place in halls(data, "power", "r1-01-n1")} == {"hall-a/row-1/r1-01"}
    with closing(LedgerReader(data / "ledger.db")) as reader:
        assert reader.head() == head


def test_a_device_of_the_hall_gets_a_rack(data: Path) -> None:
    assert move(data, "cdu-1").exit_code == 0
    assert set(halls(data, "power", "cdu-1")) == {(False, "hall-a//"), (True, TO)}


def test_a_running_accountant_is_told_and_not_asked_to_attribute(data: Path) -> None:
    site = load_site(data / "site.yaml")
    with closing(open_ledger(data / "ledger.db", site)) as book:
        import threading

        stop = threading.Event()

        def serve() -> None:
            while not stop.wait(0.05):
                book.carry_out_orders()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            found = move(data)
        finally:
            stop.set()
            thread.join()
        assert found.exit_code == 0, found.output
        assert "the accountant runs with the site as it was" in found.stdout
        assert [act.name for act in book.acts()][-1:] == ["site_move"]


@pytest.mark.parametrize(
    ("device", "arguments", "said"),
    [
        ("r1-01-n2", (), "unknown device 'r1-01-n2' (did you mean 'r1-01-n1'?)"),
        ("r1-01-n1/GPU-0", (), "moves with its node: move 'r1-01-n1'"),
        ("r1-01-n1", ("--to", "hall-b/row-2/r2-1"), "--to: there is no rack 'hall-b/row-2/r2-1'"),
        ("r1-01-n1", ("--to", "hall-b"), "(did you mean 'hall-b/row-2/r2-01'?)"),
        ("r1-01-n1", ("--since", "2026-10-01T00:00"), "has no offset"),
        ("r1-01-n1", ("--author", ""), "--author: must not be empty"),
        ("r1-01-n1", ("--site", "none.yaml"), "cannot be read"),
        ("r1-01-n1", ("--influx", "http://127.0.0.1:1"), "no token for InfluxDB"),
    ],
)
def test_bad_input_changes_nothing(
    data: Path, device: str, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RACKWATT_INFLUX_TOKEN", raising=False)
    found = move(data, device, *arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert not (data / "site.moves.yaml").exists()


def test_without_a_ledger_it_must_be_said(data: Path) -> None:
    (data / "ledger.db").unlink()
    found = move(data)
    assert found.exit_code == 2
    assert "no ledger in" in found.stderr
    found = move(data, "r1-01-n1", "--without-ledger")
    assert found.exit_code == 0
    assert "not recorded" in found.stdout


def test_influx_rows_are_written_anew_and_the_old_ones_deleted(
    data: Path, influx_bucket: InfluxBucket, tmp_path: Path
) -> None:
    place = influx_bucket
    store = InfluxStore(url=place.url, org=place.org, bucket=place.bucket, token=place.token)

    async def fill() -> None:
        await store.start()
        await store.write(EVERYTHING)
        await store.aclose()

    asyncio.run(fill())
    token = tmp_path / "token"
    token.write_text(place.token)
    options = (
        "--influx", place.url, "--influx-org", place.org, "--influx-bucket", place.bucket,
        "--influx-rollups-bucket", place.bucket, "--influx-token-file", str(token),
    )  # fmt: skip
    found = move(data, "r1-01-n1", *options, "--dry-run")
    assert "InfluxDB: 12 rows would be corrected" in found.stdout
    found = move(data, "r1-01-n1", *options)
    assert found.exit_code == 0, found.output
    assert "InfluxDB: 12 rows corrected in gpu, power" in found.stdout
    with InfluxHttp(place.url, place.org, place.token) as server:
        for kind in ("power", "gpu"):
            stored = list(rows_of_span(server, place.bucket, kind, (None, None)))
            assert len(stored) == sum(row.measurement == kind for row in EVERYTHING)
            values = {
                (row.tags["device"], row.time_ms): row.fields["power_watts"] for row in stored
            }
            expected = {
                (dict(row.tags)["device"], row.time_ms): row.fields["power_watts"]
                for row in EVERYTHING
                if row.measurement == kind
            }
            assert values == expected
            moved = {
                (row.time_ms >= SINCE, row.tags["rack"])
                for row in stored
                if row.tags["device"].partition("/")[0] == "r1-01-n1"
            }
            assert moved == {(False, "r1-01"), (True, "r2-01")}
    again = move(data, "r1-01-n1", *options)
    assert "InfluxDB: 0 rows corrected" in again.stdout
