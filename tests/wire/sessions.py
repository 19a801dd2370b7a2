# SPDX-License-Identifier: Apache-2.0
"""What tests of MQTT sessions share: topics, and a sender."""

from collections.abc import Callable

from doubles import Running, session

from rackwatt.wire.session import Received

TOPIC = "rackwatt/v1/demo/hall-a/agent/power"
STATUS = "rackwatt/v1/demo/hall-a/agent/status"


def count(number: int) -> Callable[[list[Received]], bool]:
    return lambda messages: len(messages) >= number


async def publish(url: str, *payloads: bytes, topic: str = TOPIC, retain: bool = False) -> None:
    sender = session(url, "sender")
    async with Running(sender.run()):
        await sender.connected.wait()
        for payload in payloads:
            await sender.publish(topic, payload, retain=retain)
