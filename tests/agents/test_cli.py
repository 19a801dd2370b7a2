# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent` as its users start it: exit codes, messages, signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwatt.agents import cli, settings
from rackwatt.wire.lifeline import VARIABLE
from servers.fixtures import Mosquitto, free_port

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != VARIABLE}
COMMAND = [sys.executable, "-m", "rackwatt.agents.cli"]


def config(folder: Path, url: str, port: int, name: str = "air-a", more: str = "") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"agent: {{site: demo, hall: hall-a, name: {name}, sample_every: 50ms, send_every: 50ms}}\n"
        f'broker: {{url: "{url}"}}\n'
        f"outbox: {{path: {name}.db}}\n"
        f"{more}"
        "source: blueprint\n"
        "blueprint:\n"
        "  timeout: 500ms\n"
        "  devices:\n"
        f"    - {{name: air-1, host: 127.0.0.1, port: {port}}}\n"
    )
    return path


def agent(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.fixture
def device() -> Iterator[int]:
    """The blueprint's example device, on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "rackwatt.agents.blueprint.device", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_for_port(port)
        yield port
        process.terminate()


def wait_for_port(port: int) -> None:
    import socket

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nothing listens on {port}")


def test_help_teaches() -> None:
    done = agent("--help")
    assert done.returncode == 0
    for word in ("run", "probe", "check", "examples:", "node1.yaml node2.yaml"):
        assert word in done.stdout


def test_wrong_usage_is_2() -> None:
    done = agent("rum", "x.yaml")
    assert done.returncode == 2
    assert "invalid choice: 'rum'" in done.stderr


def test_check_says_what_the_agent_would_do(tmp_path: Path) -> None:
    path = config(tmp_path, "mqtt://127.0.0.1:1883", 7770)
    done = agent("check", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path}: ok: agent air-a of demo/hall-a, source blueprint" in done.stdout
    assert "samples every 0.05 s" in done.stdout
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_serves_many_nodes_by_name(tmp_path: Path) -> None:
    path = config(tmp_path, "mqtt://127.0.0.1:1883", 1)
    done = agent("check", "--name", "r1-07-n3", path)
    assert done.returncode == 0
    assert "agent r1-07-n3 of demo/hall-a" in done.stdout
    done = agent("check", "--name", "no/name", path)
    assert done.returncode == 2
    assert "agent.name" in done.stderr
    second = config(tmp_path, "mqtt://127.0.0.1:1883", 1, "other")
    done = agent("check", "--name", "r1-07-n3", path, second)
    assert done.returncode == 2
    assert "--name is for one FILE" in done.stderr


def test_check_names_every_error_of_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = config(tmp_path, "mqtt://127.0.0.1:1883", 7770)
    bad = config(tmp_path, "mqtt://127.0.0.1:1883", 7770, name="bad")
    bad.write_text(bad.read_text().replace("port:", "prt:").replace("send_every", "send_evry"))
    absent = tmp_path / "absent.yaml"
    assert cli.main(["check", str(good), str(bad), str(absent)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{absent}:1: cannot be read: No such file" in captured.err
    assert f"{bad}:1: agent.send_evry: unknown key (did you mean 'send_every'?)" in captured.err
    assert f"{bad}:8: blueprint.devices[0].prt: unknown key" in captured.err
    assert "Traceback" not in captured.err


def test_probe_shows_raw_and_decoded_values_side_by_side(tmp_path: Path, device: int) -> None:
    done = agent("probe", config(tmp_path, "mqtt://127.0.0.1:1", device))
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()[1:]
    assert header.split() == ["device", "field", "where", "raw", "value", "unit", "quality"]
    assert any("temperature_celsius" in row and row.endswith("good") for row in rows)


def test_probe_of_a_dead_device_fails(tmp_path: Path) -> None:
    done = agent("probe", config(tmp_path, "mqtt://127.0.0.1:1", free_port()))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_samples_until_it_is_told_to_stop(
    tmp_path: Path, device: int, mosquitto: Mosquitto, number: signal.Signals
) -> None:
    paths = [config(tmp_path, mosquitto.url, device, name=name) for name in ("one", "two")]
    with subprocess.Popen(
        [*COMMAND, "run", *paths], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        deadline = time.monotonic() + 20
        while not all(sent(tmp_path / f"{name}.db") for name in ("one", "two")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def sent(path: Path) -> bool:
    import sqlite3

    if not path.exists():
        return False
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        (through,) = connection.execute("SELECT max(sent_through) FROM epochs").fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return bool(through)


def test_run_stops_when_its_supervisor_is_gone(tmp_path: Path, device: int) -> None:
    reading, writing = os.pipe()
    path = config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", device)
    with subprocess.Popen(
        [*COMMAND, "run", path],
        stderr=subprocess.PIPE,
        env=ENVIRONMENT | {VARIABLE: str(reading)},
        pass_fds=[reading],
    ) as process:
        os.close(reading)
        deadline = time.monotonic() + 20
        while not (tmp_path / "air-a.db").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert process.poll() is None
        os.close(writing)
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_run_with_a_source_that_cannot_start_is_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fatal_driver.py").write_text(
        "from pydantic import BaseModel\n"
        "from doubles import FakeSource\n"
        "from rackwatt.agents.source import StartError\n"
        "class Settings(BaseModel):\n"
        "    devices: list[object] = []\n"
        "    timeout: str = ''\n"
        "def create(settings, context):\n"
        "    wrong = [StartError('fatal', 'no such library: install it')]\n"
        "    return FakeSource(lambda _: [], start_errors=wrong)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(settings, "DRIVERS", {"blueprint": "fatal_driver"})
    path = config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", 1)
    assert cli.main(["run", str(path)]) == 2
    assert "rackwatt-agent: no such library: install it" in capsys.readouterr().err


def test_run_with_an_outbox_that_is_no_database_is_1(tmp_path: Path) -> None:
    (tmp_path / "air-a.db").write_bytes(b"no database at all, but long enough to be one" * 40)
    done = agent("run", config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", 1))
    assert done.returncode == 1
    assert "rackwatt-agent: file is not a database" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_with_a_metrics_address_that_is_taken_is_1(tmp_path: Path, device: int) -> None:
    more = f'metrics: {{listen: "127.0.0.1:{device}"}}\n'
    done = agent("run", config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", 1, more=more))
    assert done.returncode == 1
    assert "rackwatt-agent:" in done.stderr
    assert "in use" in done.stderr
