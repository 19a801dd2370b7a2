# SPDX-License-Identifier: Apache-2.0
"""The embedded MQTT broker of `rackwatt up`: amqtt, for one box and for demonstrations.

It keeps nothing over a restart, and need not: the agents' outboxes and the gap watch make the
delivery promise (ADR 0002). A site brings its own broker with `--broker`.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

from rackwatt.collector.service import configure_logging, run_until_stopped


class _Subscriptions(dict[str, Any]):
    """The broker's subscriptions, which it changes while it walks over them: walks see a copy."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().keys()))

    def items(self) -> list[tuple[str, Any]]:  # type: ignore[override]
        return list(super().items())


def make_broker(port: int) -> Any:
    """The broker on a port of the loopback, not started.

    amqtt 0.12.1 needs two corrections: it walks over its subscriptions while they change, which
    ends connections and its own loop, and it sends the retained messages of everybody's
    subscriptions to each client that connects.
    """
    from amqtt.broker import Broker

    class EmbeddedBroker(Broker):  # type: ignore[misc] # amqtt has no types
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            self._subscriptions = _Subscriptions()

        async def _publish_retained_messages_for_subscription(
            self, subscription: tuple[str, int], session: Any
        ) -> None:
            subscribers = self._subscriptions.get(subscription[0], ())
            if any(other.client_id == session.client_id for other, _ in subscribers):
                await super()._publish_retained_messages_for_subscription(subscription, session)

    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 0}
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    return EmbeddedBroker(
        {"listeners": {"default": listener}, "plugins": {anonymous: {"allow_anonymous": True}}}
    )


async def serve(port: int) -> None:
    """Serve MQTT 3.1.1 on the loopback until cancelled.

    Raises:
        OSError: the port is taken.
    """
    broker = make_broker(port)
    await broker.start()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await broker.shutdown()


def main() -> int:
    """`python -m rackwatt.collector.roles.broker --port N`."""
    parser = argparse.ArgumentParser(description="The embedded MQTT broker, on the loopback.")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    configure_logging(verbose=False)
    for chatty in ("amqtt", "transitions"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(run_until_stopped(lambda: serve(options.port)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
