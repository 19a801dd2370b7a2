# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments of the long-running commands: a plain line, exit code 2, no child started."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from rackwatt.collector import cli
from rackwatt.collector.roles import up as up_module
from rackwatt.collector.roles.up import TOKEN_VARIABLE
from rackwatt.collector.store.open import TOKEN_VARIABLE as INFLUX_TOKEN
from servers.fixtures import free_port

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "examples" / "site.yaml"
TETOUAN = ROOT / "docs" / "examples" / "site-tetouan.yaml"
SNMP = (ROOT / "agents" / "rackwatt" / "agents" / "snmp" / "example.yaml").read_text()
BROKER = "mqtt://127.0.0.1:1883"


@pytest.fixture(autouse=True)
def _no_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(up_module, "Family", started)
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef")
    monkeypatch.setenv(INFLUX_TOKEN, "token")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def rackwatt(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """What was said on standard error, after a look at how."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "s3cret" not in result.stderr
    assert len(result.stderr.splitlines()) <= 6, result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--for", "abc"], "--for: a duration must be .*, not 'abc'"),
        (["--for", "0s"], "--for: must be more than 0"),
        (["--port", "99999"], "'--port'"),
        (["--broker", "http://x"], "--broker: a broker's URL is mqtt://host:port"),
        (["--broker", "mqtt://u:s3cret@x"], "--broker: no user or password in the URL"),
        (["--broker", "mqtt://x:70000"], "--broker: the port must be a number from 1 to 65535"),
        (["--broker", "mqtt://x:s3cret"], "--broker: the port must be a number from 1 to 65535"),
        (["--influx", "127.0.0.1:8086"], "--influx: expects an address that begins with http"),
        (["--influx", "http://u:s3cret@x"], "--influx: no user or password"),
        (["--host", "203.0.113.7"], "--host: cannot listen on 203.0.113.7"),
        (["--agent", "meters.yaml"], "--agent needs --site"),
        (["--site", SITE, "--scenario", "tetouan"], "--scenario is for a simulated site"),
        (["--site", SITE, "--agent", "meters.yaml"], "--agent needs --broker"),
        (["--site", "absent.yaml"], "absent.yaml:1: cannot be read: No such file"),
        (["--site", SITE, "--broker", BROKER, "--agent", "absent.yaml"], "absent.yaml:1: cannot"),
        (["--broker-user", "c"], "need --broker"),
        (["--broker", BROKER, "--broker-user", "c"], "need --site"),
        (["--web-certificate-file", "c.crt"], "--web-certificate-file needs --web-key-file"),
        (["--web-token-file", "no"], "--web-token-file: there is no file no"),
        (["--web-token-file", "short"], "must hold one line of at least 16 characters"),
        (["--influx", "https://x", "--influx-ca-file", "short"], "short holds no certificate"),
        (["extra"], "extra"),
        (["--prot", "1"], "--port"),
    ],
)
def test_up_says_what_is_wrong(arguments: list[str], expected: str, tmp_path: Path) -> None:
    Path("short").write_text("s3cret")
    given = ["up", "--data", tmp_path / "data"]
    if not {"--port", "--prot"} & set(arguments):
        given += ["--port", free_port()]
    assert re.search(expected, refused(rackwatt(*given, *arguments)))


def test_up_refuses_a_site_file_with_errors(tmp_path: Path) -> None:
    bad = tmp_path / "site.yaml"
    bad.write_text("site: {id: demo, timezne: UTC}\n")
    said = refused(
        rackwatt("up", "--data", tmp_path / "data", "--port", free_port(), "--site", bad)
    )
    assert f"{bad}:1: site.timezne: unknown key (did you mean 'timezone'?)" in said
    assert not (tmp_path / "data").exists()


def test_up_refuses_agent_files_with_errors(tmp_path: Path) -> None:
    bad = tmp_path / "meters.yaml"
    bad.write_text(SNMP.replace("raritan-px", "raritan").replace("send_every", "send_evry"))
    command = ("up", "--data", tmp_path / "data", "--port", free_port(), "--site", SITE)
    said = refused(rackwatt(*command, "--broker", BROKER, "--agent", bad))
    assert f"{bad}:2: agent.send_evry: unknown key (did you mean 'send_every'?)" in said
    assert f"{bad}:28: snmp.devices[3].map: unknown map" in said
    assert not (tmp_path / "data").exists()


def test_up_refuses_agents_of_another_site_or_hall(tmp_path: Path) -> None:
    other = tmp_path / "meters.yaml"
    other.write_text(SNMP.replace("site: demo, hall: hall-a", "site: other"))
    command = ("up", "--data", tmp_path / "data", "--port", free_port(), "--site", SITE)
    said = refused(rackwatt(*command, "--broker", BROKER, "--agent", other))
    assert f"{other}:2: agent.site: the site file's site is 'demo', here it is 'other'" in said
    assert f"{other}:2: agent.hall: the site file puts 'snmp-hall-a' into hall 'hall-a'" in said


def test_up_refuses_an_unknown_scenario(tmp_path: Path) -> None:
    command = ("up", "--data", tmp_path / "data", "--port", free_port())
    said = refused(rackwatt(*command, "--scenario", "tetuan"))
    assert "--scenario: " in said
    assert "did you mean 'tetouan'?" in said
    (tmp_path / "mine.yaml").write_text("hals: 3\n")
    said = refused(rackwatt(*command, "--scenario", "mine.yaml"))
    assert "mine.yaml:1: hals: unknown key" in said


def test_a_taken_port_is_told(taken: int, tmp_path: Path) -> None:
    place = ("--data", tmp_path / "data", "--port", taken)
    collector = ("--collector", "http://127.0.0.1:1")
    for command in (
        ("up",),
        ("collect", "--site", SITE, "--broker", BROKER),
        ("account", "--site", SITE, *collector),
    ):
        said = refused(rackwatt(*command, *place))
        assert said == f"rackwatt: port {taken} is taken: choose another with --port\n"


@pytest.mark.parametrize("name", ["file", "file/data"])
def test_a_data_folder_that_cannot_be_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = ("--data", tmp_path / name, "--port", free_port())
    for command in (
        ("up",),
        ("collect", "--site", SITE, "--broker", BROKER),
        ("account", "--site", SITE, "--collector", "http://127.0.0.1:1"),
    ):
        said = refused(rackwatt(*command, *place))
        assert said.startswith("rackwatt: --data: ")
        assert str(tmp_path / name) in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--broker", "http://x"], "--broker: a broker's URL is mqtt://host:port"),
        (["--broker", "mqtt://u:s3cret@x"], "--broker: no user or password in the URL"),
        (
            ["--broker", BROKER, "--hall", "hall-b"],
            "--hall: no hall 'hall-b' .did you mean 'hall-a'",
        ),
        (["--broker", BROKER, "--backfill", "two"], "--backfill: a duration must be .* not 'two'"),
        (["--broker", BROKER, "--broker-password-file", "no"], "--broker-password-file: there is"),
        (["--broker", BROKER, "--broker-ca-file", "no"], "--broker-ca-file: there is no file no"),
        (["--broker", BROKER, "--broker-ca-file", "ca"], "ca holds no certificate that can be"),
        (
            ["--broker", BROKER, "--broker-password-file", "ca"],
            "-password-file needs --broker-user",
        ),
        (["--broker", BROKER, "--broker-key-file", "ca"], "needs --broker-certificate-file"),
        (
            ["--broker", BROKER, "--broker-key-file", "ca", "--broker-certificate-file", "ca"],
            "--broker-certificate-file and --broker-key-file: ",
        ),
        (["--broker", BROKER, "--influx", "x"], "--influx: expects an address"),
        (
            ["--broker", BROKER, "--influx", "http://x", "--influx-token-file", "no"],
            "token file no",
        ),
        ([], "Missing option '--broker'"),
    ],
)
def test_collect_says_what_is_wrong(arguments: list[str], expected: str, tmp_path: Path) -> None:
    Path("ca").write_text("s3cret")
    command = ("collect", "--site", SITE, "--data", tmp_path / "data", "--port", free_port())
    assert re.search(expected, refused(rackwatt(*command, *arguments)))


@pytest.mark.parametrize(
    "url", ["foo", "ftp://x", "http://", "http://x:70000", "http://u:s3cret@x"]
)
def test_account_wants_the_address_of_a_collector(url: str, tmp_path: Path) -> None:
    command = ("account", "--site", SITE, "--data", tmp_path / "data", "--port", free_port())
    assert "--collector: " in refused(rackwatt(*command, "--collector", url))


@pytest.mark.parametrize("token", [None, "", "short"])
def test_collect_and_account_want_the_token(
    token: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token is None:
        monkeypatch.delenv(TOKEN_VARIABLE)
    else:
        monkeypatch.setenv(TOKEN_VARIABLE, token)
    place = ("--site", SITE, "--data", tmp_path / "data")
    for command in (
        ("collect", "--broker", BROKER),
        ("account", "--collector", "http://127.0.0.1:1"),
    ):
        said = refused(rackwatt(*command, *place))
        assert said.startswith(f"rackwatt: set {TOKEN_VARIABLE} to the same secret")


def test_influx_wants_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INFLUX_TOKEN)
    given = ("--data", tmp_path / "data", "--influx", "http://127.0.0.1:1")
    for command in (("up",), ("collect", "--site", SITE, "--broker", BROKER)):
        assert INFLUX_TOKEN in refused(rackwatt(*command, *given))


def every_command() -> Iterator[tuple[str, bool]]:
    """All commands and whether each is a group, those of other rooms included."""
    whole: Any = typer.main.get_command(cli.app)
    whole.complete()
    todo: list[tuple[str, Any]] = [("", whole)]
    while todo:
        name, command = todo.pop()
        below = getattr(command, "commands", {})
        yield name, bool(below)
        todo += [(f"{name} {one}".strip(), what) for one, what in below.items()]


COMMANDS = dict(every_command())


def test_all_groups_are_there() -> None:
    assert {name for name, group in COMMANDS.items() if group} == {
        "", "alerts", "dashboards", "deadletter", "hall", "ledger", "maintenance", "meter", "pki",
        "report", "shift", "site", "site import", "store", "twin",
    }  # fmt: skip
    assert {"ledger import", "site move", "twin simulate", "pki revoke"} <= set(COMMANDS)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_fits_the_terminal_and_teaches(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = rackwatt(*command.split(), "--help")
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert not re.search(r"[│╭]|[a-z,]\.\.\.$", shown.output, re.MULTILINE)
    if not COMMANDS[command]:
        assert "Examples:\n    rackwatt " in shown.output
        assert "Exit codes:\n    0  " in shown.output


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rackwatt.collector.cli", "site", "check", SITE],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "rackwatt: cannot be written: No space left on device\n"


def test_a_terminal_that_knows_ascii_only() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rackwatt.collector.cli", "site", "check", TETOUAN],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"T?touan AI campus" in done.stdout
