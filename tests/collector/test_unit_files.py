# SPDX-License-Identifier: Apache-2.0
"""systemd services as `install-unit` makes them, read by systemd's own tools."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rackwatt.agents import cli as agent_cli
from rackwatt.collector.cli import app
from rackwatt.collector.signing.keys import KeyProblem, SigningKey
from rackwatt.wire import unitfile
from rackwatt.wire.unitfile import Credential, Unit, text
from servers.programs import require

BIN = Path(sys.executable).parent
SECRET = "0123456789abcdef-do-not-show"


@pytest.fixture(autouse=True)
def here_is_no_hidden_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests live below /tmp, the environment perhaps in a home: there a service sees nothing."""
    monkeypatch.setattr(unitfile, "HIDDEN", (Path("/home/nobody-here"),))


def rackwatt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["install-unit", *map(str, arguments)])


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("internal.token", "broker.key", "influx.token")}
    for path in found.values():
        path.write_text(f"{SECRET}\n")
    return found


def collect(secrets: dict[str, Path]) -> list[object]:
    return [
        "collect", "--", "--site", "/etc/rackwatt/site.yaml", "--broker", "mqtts://broker:8883",
        "--broker-key-file", secrets["broker.key"], "--hall", "a", "--hall", "b 1",
        f"--internal-token-file={secrets['internal.token']}", "--influx", "http://influx:8086",
        "--influx-token-file", secrets["influx.token"], "--no-accountant",
    ]  # fmt: skip


def agent_file(folder: Path, source: str = "host", outbox: str = "") -> Path:
    path = folder / "agent.yaml"
    (folder / "agent.key").write_text(SECRET)
    outbox = outbox or "/var/lib/rackwatt-agent-n1/outbox.db"
    path.write_text(
        "agent: {site: demo, name: n1}\n"
        "broker: {url: 'mqtt://broker', username: n1, password_file: agent.key}\n"
        f"outbox: {{path: {outbox}}}\n"
        f"source: {source}\n"
        f"{source}: {{}}\n"
    )
    return path


def agent(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = agent_cli.main(["install-unit", *map(str, arguments)])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def value(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_a_collector_is_given_its_secrets_as_credentials(secrets: dict[str, Path]) -> None:
    found = rackwatt(*collect(secrets))
    assert found.exit_code == 0, found.output
    unit = found.output
    assert SECRET not in unit
    (command,) = value(unit, "ExecStart")
    assert command.startswith(f"{BIN}/rackwatt collect --site /etc/rackwatt/site.yaml")
    assert '--hall a --hall "b 1"' in command
    assert "--no-accountant" in command
    assert "--data /var/lib/rackwatt-collect" in command
    assert command.count("${CREDENTIALS_DIRECTORY}/") == 3
    assert f"internal-token-file:{secrets['internal.token']}" in value(unit, "LoadCredential")
    assert value(unit, "DynamicUser") == ["yes"]
    assert not value(unit, "Environment")


def test_what_systemd_would_take_for_its_own_is_quoted() -> None:
    words = ["/opt/x y/rackwatt", "50%", "$HOME", 'say "no"', "b\\s", "", Credential("k")]
    unit = text(Unit("n", "100 %", "rackwatt install-unit collect", words))
    assert value(unit, "ExecStart") == [
        '"/opt/x y/rackwatt" "50%%" "$$HOME" "say \\"no\\"" "b\\\\s" "" ${CREDENTIALS_DIRECTORY}/k'
    ]
    assert value(unit, "Description") == ["100 %%"]


def test_systemd_takes_the_units_and_finds_them_safe(
    secrets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyze = str(require("systemd-analyze"))
    folder = tmp_path / "units"
    folder.mkdir()
    role, *rest = collect(secrets)
    assert rackwatt(role, "--write", folder, *rest).exit_code == 0
    assert rackwatt(
        "account", "--write", folder, "--", "--site", "/etc/s.yaml", "--collector", "http://a:1",
        "--internal-token-file", secrets["internal.token"],
    ).exit_code == 0  # fmt: skip
    agent(capsys, agent_file(tmp_path), "--write", folder)
    agent(capsys, agent_file(tmp_path, "nvml"), "--write", folder, "--name", "rackwatt-agent-n1")
    units = sorted(folder.glob("*.service"))
    assert len(units) == 3
    for unit in units:
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), unit.read_text()
        limit = 25 if "agent" in unit.name else 15
        done = subprocess.run(
            [analyze, "security", "--offline=true", f"--threshold={limit}", str(unit)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_systemds_tools_would_find_a_mistake(tmp_path: Path) -> None:
    analyze = str(require("systemd-analyze"))
    wrong = tmp_path / "wrong.service"
    unit = text(Unit("wrong", "d", "m", ["/not/here"])).replace("ProtectSystem", "ProtectSistem")
    wrong.write_text(unit)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(wrong)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "ProtectSistem" in done.stderr


def test_an_agents_service_has_a_user_to_whom_its_secrets_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = agent(capsys, agent_file(tmp_path))
    assert value(unit, "User") == ["rackwatt-agent"]
    assert value(unit, "StateDirectory") == ["rackwatt-agent-n1"]
    assert f"#   chgrp rackwatt-agent {tmp_path / 'agent.key'} && chmod 0640" in unit
    assert value(unit, "ExecStart") == [f"{BIN}/rackwatt-agent run {tmp_path / 'agent.yaml'}"]
    assert value(unit, "PrivateDevices") == ["yes"]
    gpu = agent(capsys, agent_file(tmp_path, "nvml"))
    assert not value(gpu, "PrivateDevices"), "it opens the driver's devices"
    assert not value(gpu, "ProcSubset"), "the driver's library reads /proc/driver"


def test_an_outbox_elsewhere_is_refused_with_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = agent_file(tmp_path, outbox="outbox.db")
    assert agent_cli.main(["install-unit", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}:3: outbox.path" in said
    assert "write /var/lib/rackwatt-agent-n1/outbox.db" in said


def test_files_that_the_service_cannot_see_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secrets: dict[str, Path],
) -> None:
    path = agent_file(tmp_path)
    monkeypatch.setattr(unitfile, "HIDDEN", (tmp_path,))
    assert agent_cli.main(["install-unit", str(path)]) == 2
    assert "cannot be seen by the service" in capsys.readouterr().err
    site = tmp_path / "site.yaml"
    found = rackwatt("account", "--", "--site", site, "--collector", "http://a:1",
                     "--internal-token-file", secrets["internal.token"])  # fmt: skip
    assert found.exit_code == 2
    assert f"--site: {site} cannot be seen" in found.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["mine", "--", "--site", "s"], "expects collect or account"),
        (["account", "--", "--site", "/s", "--collector", "http://a:1"], "--internal-token-file"),
        (["account", "--", "--site", "/s", "--colector", "http://a:1"], "--collector"),
        (["collect", "--", "--data", "d"], "leave it out"),
        (["collect", "--", "--retire"], "leave it out"),
        (["account", "--name", "a/b", "--", "--site", "/s"], "--name"),
        (["account", "--", "--site", "/s", "--collector", "http://a:1", "--internal-token-file",
          "/not/here"], "there is no file"),
    ],
)  # fmt: skip
def test_bad_input_is_2_and_says_what_to_do(given: list[str], said: str) -> None:
    found = rackwatt(*given)
    assert found.exit_code == 2
    assert said in found.output
    assert "Traceback" not in found.output


def test_influx_needs_its_tokens_file(secrets: dict[str, Path]) -> None:
    given = collect(secrets)
    at = given.index("--influx-token-file")
    found = rackwatt(*given[:at], *given[at + 2 :])
    assert found.exit_code == 2
    assert "--influx-token-file is missing" in found.output


def test_a_unit_is_replaced_only_if_we_made_it(secrets: dict[str, Path], tmp_path: Path) -> None:
    role, *rest = collect(secrets)
    command = [role, "--write", tmp_path, *rest]
    path = tmp_path / "rackwatt-collect.service"
    assert "written" in rackwatt(*command).output
    assert "unchanged" in rackwatt(*command).output
    path.write_text(path.read_text() + "# more\n")
    assert "written" in rackwatt(*command).output
    path.write_text("[Service]\n")
    refused = rackwatt(*command)
    assert refused.exit_code == 2
    assert "move it away first" in refused.output
    assert path.read_text() == "[Service]\n"
    assert rackwatt(role, "--write", tmp_path / "absent", *rest).exit_code == 1


def test_a_signing_key_may_be_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access list of systemd shows as a right of the group, in a folder of ours alone."""
    key = tmp_path / "sign-key-file"
    key.write_bytes(SigningKey.new().pem)
    key.chmod(0o440)
    with pytest.raises(KeyProblem, match="can be read by others"):
        SigningKey.read(key)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert SigningKey.read(key).public.id


NO_NEW_CODE = """
import ctypes, errno, importlib, sys
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
for name in sys.argv[1:]:
    importlib.import_module(name)
ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)()
"""


def test_our_programs_need_no_memory_that_is_written_and_run() -> None:
    """What `MemoryDenyWriteExecute=` forbids, forbidden by the kernel itself."""
    roles = ["rackwatt.collector.roles.collect", "rackwatt.collector.roles.account",
             "rackwatt.collector.store.influx", "influxdb_client", "numpy", "uvicorn"]  # fmt: skip
    drivers = [
        f"rackwatt.agents.{name}" for name in ("modbus", "snmp", "redfish", "bacnet", "host")
    ]
    drivers += ["pymodbus.client", "pysnmp.hlapi.v3arch.asyncio", "bacpypes3.app"]
    command = [sys.executable, "-W", "ignore", "-c", NO_NEW_CODE, *roles, *drivers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("NOT TESTED: Linux before 6.3 cannot forbid it")
    assert done.returncode == 0, done.stderr
