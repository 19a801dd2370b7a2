# SPDX-License-Identifier: Apache-2.0
"""What Mosquitto is told: who may say what, and how it listens.

One pattern covers every agent, because an agent's name is its user name: it publishes readings,
status and inventory under its own name only, and reads its own replay requests only. A collector
reads everything of its site and publishes replay requests only.

Sources: mosquitto.conf(5), https://mosquitto.org/man/mosquitto-conf-5.html
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rackwatt.wire.codec import MAX_PAYLOAD_BYTES
from rackwatt.wire.readings import KINDS
from rackwatt.wire.topics import INVENTORY, REPLAY, STATUS

_SPOKEN: Final = (*KINDS, STATUS, INVENTORY)
_LOGGED: Final = ("error", "warning", "notice", "information", "subscribe")


def acl(site: str, collectors: Sequence[str]) -> str:
    """Return Mosquitto's ACL file of a site.

    Args:
        site: The site's id: the third level of every topic.
        collectors: User names of the collectors.
    """
    root = f"rackwatt/v1/{site}/+"
    lines = [
        f"# Who may say what on {site}'s broker; made by 'rackwatt pki broker'.",
        "# Agents: a user publishes under its own name, and reads what is asked of it.",
        *(f"pattern write {root}/%u/{last}" for last in _SPOKEN),
        f"pattern read {root}/%u/{REPLAY}",
    ]
    for name in collectors:
        lines += [
            "",
            f"# Collector {name}: reads all, asks for replays, reports nothing itself.",
            f"user {name}",
            *(f"topic deny {root}/{name}/{last}" for last in _SPOKEN),
            f"topic read {root}/+/+",
            f"topic write {root}/+/{REPLAY}",
        ]
    return "\n".join(lines) + "\n"


STATE: Final = Path("/var/lib/mosquitto")
"""Where Mosquitto's packages have it keep sessions and messages."""


def configuration(folder: Path, port: int, address: str, state: Path = STATE) -> str:
    """Return a Mosquitto configuration: TLS with client certificates, finite queues, durable.

    Args:
        folder: Where the broker finds its folder; the authority's key is not in it.
        port: To listen on.
        address: To listen on.
        state: Where it keeps sessions and messages; without it, wherever it was started from.
    """
    return "\n".join(
        [
            "# Mosquitto for Rackwatt; made by 'rackwatt pki broker'.",
            f"listener {port} {address}",
            f"cafile {folder / 'ca.crt'}",
            f"certfile {folder / 'broker.crt'}",
            f"keyfile {folder / 'broker.key'}",
            f"crlfile {folder / 'revoked.crl'}",
            "require_certificate true",
            "use_identity_as_username true",
            "# Nobody takes over another's session by its client id.",
            "use_username_as_clientid true",
            "tls_version tlsv1.2",
            "allow_anonymous false",
            f"acl_file {folder / 'acl'}",
            "",
            "# A queue without a bound eats the memory; one of 1000 (the default) loses silently.",
            "max_queued_messages 0",
            "max_queued_bytes 268435456",
            "max_inflight_messages 1000",
            "# More is not read by a collector either.",
            f"message_size_limit {MAX_PAYLOAD_BYTES}",
            "persistent_client_expiration 2d",
            "persistence true",
            f"persistence_location {state}/",
            "autosave_interval 5",
            "",
            "# Who was refused. Which topic was denied to whom is said with 'log_type debug' only,",
            "# beside a line for every message: for a look, not for good.",
            "log_dest stderr",
            *(f"log_type {kind}" for kind in _LOGGED),
            "connection_messages true",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            "",
        ]
    )
