# SPDX-License-Identifier: Apache-2.0
"""Mosquitto by the configuration and the rules that `rackwatt pki` writes, with certificates."""

import os
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from rackwatt.collector.pki.cli import pki_app
from rackwatt.wire.session import BrokerSettings
from servers.process import ServerProcess
from servers.programs import HOST, free_port, require

COLLECTOR = "collector-1"


def pki(folder: Path, command: str, *arguments: str) -> None:
    """Run `rackwatt pki COMMAND`; it must do."""
    found = CliRunner().invoke(pki_app, [command, *arguments, "--dir", str(folder)])
    assert found.exit_code == 0, found.output


class MutualMosquitto(ServerProcess):
    """Mosquitto that knows clients by their certificates.

    Args:
        folder: for the authority and the broker's state, below it.
        agents: who gets a certificate.
        more: told the authority's folder before the broker's own is made.
    """

    def __init__(
        self, folder: Path, *agents: str, more: Callable[[Path], None] = lambda _: None
    ) -> None:
        self.pki = folder / "pki"
        port, state = free_port(), folder / "mosquitto"
        state.mkdir()
        pki(self.pki, "init", "--site", "demo")
        pki(self.pki, "agent", *agents)
        more(self.pki)
        self._where = ["--port", str(port), "--data", str(state), "--collector", COLLECTOR]
        self.sign()
        pki(self.pki, "collector", COLLECTOR)
        file = self.pki / "broker" / "mosquitto.conf"
        super().__init__([require("mosquitto"), "-c", file], port=port, directory=state)

    def sign(self) -> None:
        """Sign its certificate, again if there is one, and write its files."""
        pki(self.pki, "broker", "--site", "demo", *self._where, HOST)
        if os.geteuid() == 0:  # else it gives up its rights, and cannot read its key
            file = self.pki / "broker" / "mosquitto.conf"
            file.write_text(file.read_text() + "user root\n", encoding="utf-8")

    @property
    def url(self) -> str:
        """The address as `rackwatt` takes it."""
        return f"mqtts://{HOST}:{self.port}"

    @property
    def authority(self) -> Path:
        """Who signed its certificate."""
        return self.pki / "ca.crt"

    def key(self, name: str, folder: str = "agents") -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self.pki / folder / f"{name}.crt", self.pki / folder / f"{name}.key"

    def settings(self, name: str) -> BrokerSettings:
        """How an agent reaches it."""
        certificate, key = self.key(name)
        return BrokerSettings(
            url=self.url, ca_file=self.authority, certificate_file=certificate, key_file=key
        )

    def collector_options(self) -> list[str]:
        """How a collector reaches it."""
        certificate, key = self.key(COLLECTOR, "collectors")
        return [
            "--broker-ca-file", str(self.authority), "--broker-certificate-file", str(certificate),
            "--broker-key-file", str(key),
        ]  # fmt: skip

    def said(self, text: str) -> int:
        """How often its log holds a text."""
        return self.log_path.read_text(encoding="utf-8", errors="replace").count(text)
