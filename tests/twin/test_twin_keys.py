# SPDX-License-Identifier: Apache-2.0
"""A simulated site's agents with certificates: each file names its own."""

from pathlib import Path

import yaml
from typer.testing import CliRunner

from rackwatt.twin.cli import app


def test_each_agent_is_told_its_own_certificate(tmp_path: Path) -> None:
    data, keys = tmp_path / "data", tmp_path / "keys"
    given = ["--data", str(data), "--broker", "mqtts://broker:8883", "--keys", str(keys)]
    done = CliRunner().invoke(app, ["build", *given])
    assert done.exit_code == 0, done.output
    files = sorted((data / "agents").glob("*.yaml"))
    assert len(files) > 5
    for file in files:
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["broker"] == {
            "url": "mqtts://broker:8883",
            "ca_file": str(keys / "ca.crt"),
            "certificate_file": str(keys / f"{file.stem}.crt"),
            "key_file": str(keys / f"{file.stem}.key"),
        }


def test_certificates_want_tls(tmp_path: Path) -> None:
    given = ["--data", str(tmp_path / "data"), "--broker", "mqtt://broker", "--keys", "keys"]
    done = CliRunner().invoke(app, ["build", *given])
    assert done.exit_code == 2
    assert "--keys needs a --broker of mqtts://" in done.output
    assert not (tmp_path / "data").exists()
