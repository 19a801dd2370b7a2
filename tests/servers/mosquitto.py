# SPDX-License-Identifier: Apache-2.0
"""Mosquitto, the MQTT broker of the tests."""

import os
from collections.abc import Sequence
from pathlib import Path

from servers.process import ServerProcess
from servers.programs import HOST, free_port, require


class Mosquitto(ServerProcess):
    """Mosquitto with settings that lose nothing silently while it lives.

    Its default of 1,000 queued messages drops what an absent subscriber has still to
    get, with every publisher acknowledged; without any bound, a forgotten session eats
    the memory. So: bytes are bounded, messages are not.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        persistence: bool = True,
        autosave_seconds: int = 1,
        max_queued_bytes: int = 256 * 1024 * 1024,
        max_inflight_messages: int = 20_000,
        extra: Sequence[str] = (),
    ) -> None:
        """Write the configuration; nothing runs yet.

        Args:
            directory: configuration, saved sessions and log
            port: the port to listen on; a free one if None
            persistence: whether sessions and messages are saved to disk at all
            autosave_seconds: how often they are, in seconds; a SIGKILL loses the rest
            max_queued_bytes: per client, in bytes; what comes after is dropped
            max_inflight_messages: per client; more than a batch that waits for its
                acknowledgement, less than the 65,535 packet ids
            extra: further lines of the configuration
        """
        port = free_port() if port is None else port
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "mosquitto.conf"
        lines = [
            f"listener {port} {HOST}",
            "allow_anonymous true",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {directory}/",
            f"autosave_interval {autosave_seconds}",
            "persistent_client_expiration 1d",
            "max_queued_messages 0",
            f"max_queued_bytes {max_queued_bytes}",
            f"max_inflight_messages {max_inflight_messages}",
            "log_dest stderr",
        ]
        if os.geteuid() == 0:
            # Else it gives up its rights at start, and cannot write into our folder.
            lines.append("user root")
        configuration.write_text("\n".join([*lines, *extra]) + "\n", encoding="utf-8")
        program = require("mosquitto")
        super().__init__([program, "-c", configuration], port=port, directory=directory)

    @property
    def url(self) -> str:
        """The address as `rackwatt` takes it."""
        return f"mqtt://{HOST}:{self.port}"
