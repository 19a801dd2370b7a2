# SPDX-License-Identifier: Apache-2.0
"""`rackwatt-agent safety`: what it shows, and what it refuses."""

import json
import threading
from pathlib import Path

import pytest

from rackwatt.agents.cli import main
from rackwatt.agents.safety import command
from rackwatt.agents.safety.book import Book, order_file
from rackwatt.agents.safety.engine import Alarm

CONFIG = """\
agent: {site: demo, name: cdus, sample_every: 1s, send_every: 1s}
broker: {url: "mqtt://127.0.0.1:1"}
outbox: {path: data/outbox.db}
source: modbus
modbus: {retry_cap: 1s, devices: [{device: cdu-a1, map: blueprint-cdu, host: 192.0.2.1}]}
"""
SAFETY = 'safety: {loops: [{device: cdu-a1, rules: [leak]}], alertmanagers: [{url: "%s"}]}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "cdus.yaml"
    path.write_text(CONFIG + SAFETY % "http://127.0.0.1:1", encoding="utf-8")
    return path


def state(config: Path) -> Path:
    return config.parent / "data" / "cdus.safety.json"


def test_what_is_on_is_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["safety", str(config)]) == 0
    assert "nothing is on" in capsys.readouterr().out
    book = Book([])
    alarm = Alarm("cdu-a1", "leak", 1_790_000_000_000, 1.0, 0.0, "leak detected")
    book.apply([], [alarm])
    state(config).write_text(book.text(), encoding="utf-8")
    assert main(["safety", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "critical  cdu-a1/leak  since 2026-09-21T14:13:20+00:00  leak detected" in shown
    state(config).write_text("{", encoding="utf-8")
    assert main(["safety", str(config)]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reset", "cdu-a1/leek", "--by", "me"], "did you mean 'leak'?"),
        (["--reset", "leak", "--by", "me"], "is no DEVICE/RULE"),
        (["--reset", "cdu-a2/leak", "--by", "me"], "did you mean 'cdu-a1'?"),
        (["--reset", "cdu-a1/leak"], "--by NAME"),
    ],
)
def test_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["safety", str(config), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_file_without_the_section(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG, encoding="utf-8")
    assert main(["safety", str(config)]) == 2
    assert "no" in capsys.readouterr().err


def test_a_reset_that_nobody_takes(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_WAIT_SECONDS", 0.2)
    reset = ["safety", str(config), "--reset", "cdu-a1/leak", "--by", "me"]
    assert main(reset) == 1
    assert "no running agent" in capsys.readouterr().err
    file = order_file(state(config))
    assert not file.exists()
    file.write_text("{}", encoding="utf-8")
    assert main(reset) == 1
    assert "another order waits" in capsys.readouterr().err


@pytest.mark.parametrize(("refused", "code"), [("", 0), ("it is wet", 1)])
def test_what_the_agent_says(
    config: Path, capsys: pytest.CaptureFixture[str], refused: str, code: int
) -> None:
    file = order_file(state(config))
    stop = threading.Event()

    def agent() -> None:
        while not stop.wait(0.02):
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            if text:
                file.unlink()
                book = Book([])
                book.last_order = json.loads(text) | ({"refused": refused} if refused else {})
                state(config).write_text(book.text(), encoding="utf-8")
                return

    thread = threading.Thread(target=agent)
    thread.start()
    try:
        reset = ["safety", str(config), "--reset", "cdu-a1/leak", "--by", "me", "--note", "dry"]
        assert main(reset) == code
    finally:
        stop.set()
        thread.join()
    captured = capsys.readouterr()
    assert refused in captured.err if refused else "reset by me" in captured.out


def test_a_drill_that_is_not_taken(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["safety", str(config), "--drill"]) == 1
    assert "NOT taken" in capsys.readouterr().err


def test_check_lists_the_rules(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(config)]) == 0
    assert "safety: cdu-a1: leak\n" in capsys.readouterr().out
