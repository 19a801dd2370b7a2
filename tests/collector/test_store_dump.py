# SPDX-License-Identifier: Apache-2.0
"""`rackwatt store dump` of the embedded store."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rackwatt.collector.store import EmbeddedStore, Row
from rackwatt.collector.store.cli import store_app
from rackwatt.wire.clock import ManualClock

NOW = 1_790_000_000_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as `rackwatt up` keeps it."""

    async def fill() -> None:
        store = EmbeddedStore(tmp_path / "store", clock=ManualClock(NOW))
        await store.start()
        tags = (("device", "pv-1"), ("hall", "site"))
        await store.write(
            [
                Row("power", tags, {"power_watts": 0.1, "voltage_volts": 230.0}, NOW),
                Row("power", tags, {"power_watts": 2.0}, NOW - 86_400_000),
                Row("power", (("device", "a,b"),), {"power_watts": 3.0}, NOW + 1),
                Row("event", (*tags, ("code", "x")), {"text": 'a "b"\nc'}, NOW),
            ]
        )
        await store.aclose()

    asyncio.run(fill())
    return tmp_path


def dump(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(store_app, ["dump", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_csv_has_all_columns_and_every_row(data: Path) -> None:
    assert dump("power", "--data", str(data)) == (
        0,
        (
            "time,device,hall,power_watts,voltage_volts\n"
            "2026-09-20T14:13:20.000Z,pv-1,site,2.0,\n"
            "2026-09-21T14:13:20.000Z,pv-1,site,0.1,230.0\n"
            '2026-09-21T14:13:20.001Z,"a,b",,3.0,\n'
        ),
        "",
    )


def test_json_lines_leave_out_what_is_unknown(data: Path) -> None:
    code, text, _ = dump("event", "--data", str(data / "store"), "--format", "jsonl")
    assert code == 0
    assert json.loads(text) == {
        "time": "2026-09-21T14:13:20.000Z",
        "device": "pv-1",
        "hall": "site",
        "code": "x",
        "text": 'a "b"\nc',
    }


def test_times_and_devices_select(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    code, text, _ = dump(
        "power", "--data", str(data), "--device", "pv-1", "--out", str(out),
        "--from", "2026-09-21T15:13:20+01:00", "--to", "2026-09-22T00:00:00Z",
    )  # fmt: skip
    assert (code, text) == (0, f"1 rows in {out}\n")
    assert out.read_text(encoding="utf-8").splitlines()[1:] == [
        "2026-09-21T14:13:20.000Z,pv-1,site,0.1,230.0"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["powr"], "did you mean 'power'"),
        (["power", "--from", "2026-09-21T14:13:20"], "needs its offset"),
        (["power", "--from", "yesterday"], "a time like"),
        (["power", "--format", "xml"], "xml"),
    ],
)
def test_bad_usage_exits_with_two(data: Path, arguments: list[str], message: str) -> None:
    code, _, text = dump(*arguments, "--data", str(data))
    assert code == 2
    assert message in " ".join(text.split())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert dump("power", "--data", str(tmp_path / "none")) == (
        2,
        "",
        f"rackwatt: no folder {tmp_path / 'none'}\n",
    )
