# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent healthy`: the outbox tells whether an agent still keeps what it reads."""

from pathlib import Path

import pytest

from rackwatt.agents import cli
from rackwatt.agents.healthy import command
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.outbox import Outbox
from rackwatt.wire.readings import PowerReading

NOW = 1_800_000_000_000


def agent_file(folder: Path, name: str = "air-a") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"agent: {{site: demo, name: {name}, sample_every: 1s, send_every: 10s}}\n"
        "broker: {url: 'mqtts://broker', ca_file: not-here.crt}\n"
        f"outbox: {{path: {name}/outbox.db}}\n"
        "source: snmp\n"
        "snmp: {devices: []}\n"
    )
    return path


async def keep(folder: Path, times: list[int]) -> None:
    """An outbox with a message at each time, each of an epoch of its own."""
    for time in times:
        clock = ManualClock(time_ms=NOW)
        outbox = Outbox(folder / "outbox.db", keep_seconds=86_400, max_bytes=10**6, clock=clock)
        await outbox.start()
        await outbox.put([("power", time, [PowerReading(device="d", power_watts=1.0)])])
        await outbox.aclose()


@pytest.mark.parametrize(("age", "code"), [(0, 0), (59, 0), (61, 1)])
async def test_the_newest_message_decides(
    age: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = agent_file(tmp_path)
    await keep(tmp_path / "air-a", [NOW - 3_600_000, NOW - age * 1000, NOW - 600_000])
    assert command([path], ManualClock(time_ms=NOW)) == code
    said = capsys.readouterr().err
    assert (f"air-a: its newest message is {age} s old, of 60 s" in said) == bool(code)


def test_an_agent_that_never_ran_is_not_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["healthy", str(agent_file(tmp_path)), str(agent_file(tmp_path, "b"))]) == 1
    said = capsys.readouterr().err
    assert said.count("there is no outbox") == 2


def test_no_outbox_at_all_and_a_wrong_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = agent_file(tmp_path)
    (tmp_path / "air-a").mkdir()
    (tmp_path / "air-a" / "outbox.db").write_text("this is no database at all, but a text")
    assert cli.main(["healthy", str(path)]) == 1
    assert "not a database" in capsys.readouterr().err
    assert cli.main(["healthy", str(tmp_path / "absent.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
