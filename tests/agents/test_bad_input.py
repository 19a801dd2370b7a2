# SPDX-License-Identifier: Apache-2.0
"""What a hurried electrician gets wrong in an agent's file, driver by driver, and what is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rackwatt.agents import cli, settings
from rackwatt.agents.settings import DRIVERS, load_config, load_configs
from rackwatt.wire.config import ConfigErrors

AGENTS = Path(settings.__file__).parent
EXAMPLES = {name: (AGENTS / name / "example.yaml").read_text() for name in DRIVERS}
COMMAND = [sys.executable, "-m", "rackwatt.agents.cli"]


def errors(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "agent.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigErrors) as caught:
        load_config(path)
    return [str(error).removeprefix(f"{path}:") for error in caught.value.errors]


def edited(driver: str, old: str, new: str) -> str:
    text = EXAMPLES[driver]
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_needs_no_other_to_be_imported_first(driver: str) -> None:
    """Each in a process of its own: an import circle shows only to whoever comes first."""
    done = subprocess.run(
        [*COMMAND, "check", str(AGENTS / driver / "example.yaml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


COMMON = [
    ("sample_every: 1s", "sampel_every: 1s", "2: agent.sampel_every: unknown key (did you mean"),
    ("agent: {", "agnet: {", "2: agnet: unknown key (did you mean 'agent'?)"),
    ("broker: {", "brokr: {", "3: brokr: unknown key (did you mean 'broker'?)"),
    ("url:", "ulr:", "3: broker.ulr: unknown key (did you mean 'url'?)"),
    ("modbus:\n", "modbuss:\n", "6: modbuss: unknown key (did you mean 'modbus'?)"),
    ("source: modbus", "source: modbus-tcp", "5: source: unknown source 'modbus-tcp' (did you"),
    ("source: modbus", "source: snmp", "6: modbus: belongs to source 'modbus', but here the"),
    ("source: modbus", "source:", "5: source: is missing (valid: bacnet, blueprint, host, modbus"),
    ("timeout: 1s", "timeout: 1sec", "7: modbus.timeout: a duration must be a number with a unit"),
    ("timeout: 1s", "timeout: -1", "7: modbus.timeout: "),
    ("keep: 24h", "keep: 24", "4: outbox.keep: "),
    ("max_bytes: 1GB", "max_bytes: 1Gb", "4: outbox.max_bytes: a size must be a number with"),
    ("send_every: 1s", "send_every: 1500ms", "2: agent: send_every (1.5 s) must be a whole"),
    ("site: demo", "site: 'de mo'", "2: agent.site: name 'de mo' must be 1 to 100 letters"),
    ("site: demo", "site: demo, site: b", "2: site: stands twice"),
    ("name: modbus-site", "name: 42", "2: agent.name: "),
    ("name: modbus-site", "name: a, node: a/b", "2: agent.node: name 'a/b' must be"),
    ("  gap: 16", "\tgap: 16", "8: broken YAML"),
    ("127.0.0.1:1883", "127.0.0.1:99999", "3: broker.url: the port must be a number from 1 to"),
    ("127.0.0.1:1883", "127.0.0.1:abc", "3: broker.url: the port must be a number from 1 to"),
    ("mqtt://", "http://", "3: broker.url: a broker's URL is mqtt://host:port"),
    ("mqtt://127.0.0.1:1883", "mqtt://[::1", "3: broker.url: "),
    ('{url: "mqtt://127.0.0.1:1883"}', "mqtt://h", "3: broker: "),
    ('1883"', '1883", password: x', "3: broker.password: unknown key (did you mean 'password_f"),
    ('1883"', '1883", password_file: nope', "3: broker.password_file: there is no file "),
    ('1883"', '1883", ca_file: nope', "3: broker.ca_file: there is no file "),
    ("source:", "metrics: {listen: 9101}\nsource:", "5: metrics.listen: expects address:port"),
    ("source:", "metrics: {listen: 'a:0'}\nsource:", "5: metrics.listen: expects address:port"),
    ("source:", "metrics: {listen: 'a:70000'}\nsource:", "5: metrics.listen: expects address:"),
    ("source:", "metrics: {lisen: 'a:1'}\nsource:", "5: metrics.lisen: unknown key (did you mean"),
    ("source:", "nvml: {}\nsource:", "5: nvml: belongs to source 'nvml', but here the source is"),
]
MODBUS = [
    ("2.10}", "2.10, port: 99999}", "13: modbus.devices[0].port: "),
    ("2.10}", "2.10, port: five}", "13: modbus.devices[0].port: "),
    ("2.10}", "2.10:502}", "13: modbus.devices[0].host: holds a port: write host: 192.0.2.10, po"),
    ("192.0.2.10}", "http://192.0.2.10}", "13: modbus.devices[0].host: expects a name or an ad"),
    ("unit: 126", "unit: 300", "14: modbus.devices[1].unit: "),
    ("unit: 126", "unt: 126", "14: modbus.devices[1].unt: unknown key (did you mean 'unit'?)"),
    ("map: schneider-pm5xxx, ", "", "13: modbus.devices[0].map: is missing"),
    ("pm5xxx", "pm5560", "13: modbus.devices[0].map: unknown map (did you mean 'schneider-pm5xxx'"),
    ("schneider-pm5xxx", "my.yaml", "13: modbus.devices[0].map: there is no map file "),
    ("device: pv-1", "device: grid-1", "14: modbus.devices[1].device: device 'grid-1' stands twi"),
    ("device: pv-1", "device: 'pv 1'", "14: modbus.devices[1].device: name 'pv 1' must be 1 to"),
    ("device: pv-1", "device: pv/1", "14: modbus.devices[1].device: name 'pv/1' must be 1 to"),
    ("invert: true", "invert: maybe", "16: modbus.devices[2].invert: "),
    ("scale: 40", "scale: '200:5'", "16: modbus.devices[2].scale: "),
    ("scale: 40", "scale: 0", "16: modbus.devices[2].scale: "),
    ("retry_cap: 30s", "retry_cap: 100ms", "6: modbus: retry_cap must not be less than retry_f"),
    (
        "map: sunspec-inverter, host: 192.0.2.11, unit: 126",
        "map: schneider-pm5xxx, host: 192.0.2.10",
        "14: modbus.devices[1].device: 'pv-1' reads the same meter as 'grid-1' (line 13)",
    ),
]
SNMP = [
    ("version: v3", "version: v4", "17: snmp.credentials.site.version: "),
    ("user: rackwatt\n", "usr: rackwatt\n", "18: snmp.credentials.site.usr: unknown key (did"),
    ("auth: SHA-256", "auth: MD5", "19: snmp.credentials.site.auth: "),
    ("auth_key_file: s", "auth_key: s", "20: snmp.credentials.site.auth_key: unknown key"),
    ("credentials: site}", "credentials: sit}", "24: snmp.devices[0].credentials: no credential"),
    ("{probe: 1}", "{prob: 1}", "25: snmp.devices[1].index.prob: the map 'apc-rpdu2-probe' has no"),
    ("{probe: 1}", "{probe: -1}", "25: snmp.devices[1].index.probe: "),
    ("{probe: 1}", "probe", "25: snmp.devices[1].index: "),
    ("map: raritan-px", "map: raritan", "28: snmp.devices[3].map: unknown map (did you mean 'rar"),
    ("raritan-px", "my.yaml", "28: snmp.devices[3].map: there is no map file "),
    ("device: r1-02-pdu-a", "device: r1-01-pdu-a", "28: snmp.devices[3].device: device 'r1-01-"),
    (", index: {pdu: 2, l1: 4, l2: 5, l3: 6}", "", "27: snmp.devices[2].device: 'r1-01-pdu-b' r"),
    ("retries: 1 ", "retries: 9 ", "8: snmp.retries: "),
    ("community_env: RACKWATT_SNMP_COMMUNITY", "community: private", "15: snmp.credentials.old: "),
]
OTHERS = [
    ("nvml", "required: true", "required: perhaps", "13: nvml.required: "),
    ("nvml", "slow_every: 30s", "slow_every: 0", "14: nvml.slow_every: "),
    ("nvml", "events: true", "event: true", "18: nvml.event: unknown key (did you mean 'events'?)"),
    ("nvml", "# node: r1-01-n1", "node: a/b", "12: nvml.node: name 'a/b' must be 1 to 100"),
    ("nvml", "cap: 60s", "cap: 200ms", "11: nvml: init_retry_cap must not be less than init_retry"),
    ("host", "disk: /", "dsk: /", "14: host.dsk: unknown key (did you mean 'disk'?)"),
    ("host", "timeout: 900ms", "timeout: 0s", "15: host.timeout: "),
    ("host", "hall: hall-a", "hall:", "4: agent.hall: "),
    ("host", "host:\n", "hst:\n", "12: hst: unknown key (did you mean 'host'?)"),
    ("blueprint", "port: 7770", "port: 0", "10: blueprint.devices[0].port: "),
    ("blueprint", "air-2", "air-1", "11: blueprint.devices[1].name: device 'hall-a-air-1' stands"),
    ("blueprint", "timeout:", "time_out:", "8: blueprint.time_out: unknown key (did you mean 't"),
    (
        "blueprint",
        "host: 127.0.0.1, port: 7770",
        "host: '', port: 7770",
        "10: blueprint",
    ),
]


@pytest.mark.parametrize(
    ("driver", "old", "new", "expected"),
    [
        *(("modbus", *case) for case in [*COMMON, *MODBUS]),
        *(("snmp", *case) for case in SNMP),
        *OTHERS,
    ],
)
def test_a_mistake_is_named_where_it_stands(
    tmp_path: Path, driver: str, old: str, new: str, expected: str
) -> None:
    found = errors(tmp_path, edited(driver, old, new))
    assert any(error.startswith(expected) for error in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "source: is missing"),
        ("# nothing\n", "agent: is missing"),
        ("hello", "must be a mapping"),
        ("- a\n", "must be a mapping"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "cannot be read"),
        (b"\x7fELF\x00\x00", "broken YAML"),
        ("a: 1\n---\nb: 2\n", "broken YAML"),
        ("a: &x [*x]\n", "contains itself"),
        ("a: *q\n", "broken YAML"),
        ("a: !!python/object:os.system x\n", "unreadable value"),
        ("agent: 5\nbroker: x\nsource: host\nhost: 7\n", "4: host: "),
        ("agent: 5\nbroker: x\nsource: snmp\nsnmp: {devices: 7}\n", "4: snmp.devices: "),
        ("source: snmp\nsnmp: {devices: [{device: [a], map: {}, index: 3}]}\n", "devices[0].map"),
        ("source: modbus\nmodbus:\n", "2: modbus: "),
        ("source: modbus\nmodbus: {devices: []}\n", "at least one is needed"),
    ],
)
def test_what_is_no_agent_file_is_refused(tmp_path: Path, text: str | bytes, expected: str) -> None:
    found = errors(tmp_path, text)
    assert any(expected in error for error in found), found


def test_a_folder_an_absent_file_and_a_locked_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked.yaml"
    locked.touch(mode=0o000)
    paths = [tmp_path, tmp_path / "absent.yaml"] + ([locked] if os.geteuid() else [])
    assert cli.main(["check", *map(str, paths)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(paths)
    assert all("cannot be read" in line for line in lines)


def test_all_mistakes_are_told_at_once_even_where_the_source_is_unknown(tmp_path: Path) -> None:
    text = EXAMPLES["modbus"]
    for old, new in [
        ("sample_every", "sampel_every"),
        ("1GB", "1 Gigabyte"),
        ("schneider-pm5xxx", "my.yaml"),
        ("device: pv-1", "device: grid-1"),
        ("unit: 126", "unit: 300"),
        ("broker: {url", "broker: {ulr"),
    ]:
        text = text.replace(old, new)
    keys = [error.split(": ")[1] for error in errors(tmp_path, text)]
    assert keys == [
        "agent.sampel_every",
        "broker.ulr",
        "broker.url",
        "outbox.max_bytes",
        "modbus.devices[0].map",
        "modbus.devices[1].device",
        "modbus.devices[1].unit",
    ]
    text = text.replace("source: modbus", "source: modbs")
    keys = [error.split(": ")[1] for error in errors(tmp_path, text)]
    assert keys == ["agent.sampel_every", "broker.ulr", "broker.url", "outbox.max_bytes", "source"]


def test_one_bad_set_of_credentials_is_one_error(tmp_path: Path) -> None:
    found = errors(tmp_path, edited("snmp", "priv: AES-128", "priv: DES"))
    assert len(found) == 1, found


def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, edited("host", "mqtt://", "mqtt://u:s3cret@"))
    assert "use username and password_file" in found
    assert "s3cret" not in found
    (found,) = errors(tmp_path, edited("host", "mqtt://127.0.0.1:1883", "mqtt://u:s3cret"))
    assert "s3cret" not in found


def test_a_map_of_ones_own_is_checked_with_the_file_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = (AGENTS / "modbus" / "maps" / "eastron-sdm630.yaml").read_text()
    wrong = shipped.replace("unit: kWh}", "unit: kWhh}").replace("power_l1_watts", "power_l1_wats")
    (tmp_path / "my.yaml").write_text(wrong)
    found = errors(tmp_path, edited("modbus", "schneider-pm5xxx", "my.yaml"))
    assert sum("my.yaml:" in error for error in found) == 3, found
    for command in ("check", "probe", "run"):
        assert cli.main([command, str(tmp_path / "agent.yaml")]) == 2
        assert "unknown unit 'kWhh' (did you mean 'kWh'?)" in capsys.readouterr().err


def test_two_agents_share_neither_name_nor_outbox(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(EXAMPLES["host"])
    second.write_text(EXAMPLES["host"])
    with pytest.raises(ConfigErrors) as caught:
        load_configs([first, second])
    found = [str(error) for error in caught.value.errors]
    assert [error.split(": ")[1] for error in found] == ["agent.name", "outbox.path"]
    assert all(error.startswith(f"{second}:") and str(first) in error for error in found)
    second.write_text(EXAMPLES["nvml"].replace("outbox.db", "gpu/outbox.db"))
    assert len(load_configs([first, second])) == 2


def test_the_broker_files_start_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    path = tmp_path / "agent.yaml"
    path.write_text(edited("host", '1883"', '1883", username: u, password_file: password'))
    broker = load_config(path).config.broker
    assert broker.password_file == tmp_path / "password"
    assert broker.password() == "s3cret"


def test_an_outbox_without_a_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.yaml"
    (tmp_path / "file").touch()
    path.write_text(edited("host", "path: outbox.db", "path: file/outbox.db"))
    assert cli.main(["run", str(path)]) == 1
    assert f"{path}: no outbox in {tmp_path}/file: " in capsys.readouterr().err
