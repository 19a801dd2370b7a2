# SPDX-License-Identifier: Apache-2.0
"""A Redfish service that is not ours: OpenStack's emulator with made-up machines, read as it is."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.process import ServerProcess
from servers.programs import HOST, free_port

CONFIG = """\
agent: {{site: demo, hall: hall-a, name: redfish-hall-a, sample_every: 1s, send_every: 10s}}
broker: {{url: "mqtt://127.0.0.1:1883"}}
outbox: {{path: outbox.db}}
source: redfish
redfish:
  devices:
    - {{device: box, map: plain, url: "http://{host}:{port}"}}
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServerProcess]:
    port = free_port()
    program = Path(sys.executable).with_name("sushy-emulator")
    command = [str(program), "--fake", "-i", HOST, "-p", str(port)]
    with ServerProcess(command, port=port, directory=tmp_path / "emulator") as made:
        yield made


def test_it_is_read_and_what_it_lacks_is_said(service: ServerProcess, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIG.format(host=HOST, port=service.port), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "rackwatt.agents.cli", "probe", str(config)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row[1]: row for line in done.stdout.splitlines() if (row := line.split())[1:]}
    device, _, *_, raw, value, unit, quality = rows["temperature_celsius"]
    assert device.startswith("box-")
    assert (raw, value, unit, quality) == ("25", "25", "Cel", "good")
    for field in ("power_watts", "energy_import_watt_hours", "supplies_running_number"):
        assert rows[field][-1] == "not_supported"
    asked = re.findall(r'"([A-Z]+) /redfish\S* HTTP', service.log_path.read_text())
    assert asked
    assert set(asked) == {"GET"}
