# SPDX-License-Identifier: Apache-2.0
"""What a connected agent costs Mosquitto in memory, with and without TLS; JSON on stdout.

Run: `python benchmarks/broker_connections.py [--plain 10000] [--tls 2000]`. So many clients connect
with a session, a last will and their replay subscription as agents do, and then are silent; the
broker's resident memory before and after, and how long it took them to connect, 200 at a time. TLS
with a client certificate as `rackwatt pki` makes them, one for all.
"""

import argparse
import asyncio
import resource
import ssl
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.parts.machine import memory_bytes, processor_seconds, report
from servers.mosquitto import Mosquitto
from servers.mutual import MutualMosquitto
from servers.process import ServerProcess
from servers.programs import HOST

AT_ONCE = 200
WILL = b'{"state": "offline", "session": 1, "time": 1793491200000, "epochs": []}'


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | 0x80 if size else low])
        if not size:
            return bytes([kind]) + length + body


def connect(name: str) -> bytes:
    """CONNECT with a persistent session and a retained will of QoS 1, then SUBSCRIBE."""
    topic = f"rackwatt/v1/demo/hall-a/{name}"
    body = text("MQTT") + bytes([4, 0b0010_1100]) + (0).to_bytes(2, "big")
    body += text(name) + text(f"{topic}/status") + text(WILL)
    wish = (1).to_bytes(2, "big") + text(f"{topic}/replay") + b"\x01"
    return packet(0x10, body) + packet(0x82, wish)


async def one(
    port: int, number: int, context: ssl.SSLContext | None, gate: asyncio.Semaphore
) -> asyncio.StreamWriter:
    """A client that is connected and subscribed."""
    async with gate:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        writer.write(connect(f"agent-{number:06d}"))
        await reader.readexactly(4 + 5)
        return writer


async def crowd(
    server: ServerProcess, count: int, context: ssl.SSLContext | None
) -> tuple[float, int]:
    """Connect all, let them go; seconds until the last was there, and the broker's memory then."""
    gate = asyncio.Semaphore(AT_ONCE)
    begin = time.perf_counter()
    every = await asyncio.gather(*(one(server.port, n, context, gate) for n in range(count)))
    taken = time.perf_counter() - begin
    memory = memory_bytes(server.pid)["resident_bytes"]
    alive = sum(not writer.is_closing() for writer in every)
    if alive != count:
        raise SystemExit(f"of {count} clients {alive} were still connected")
    for writer in every:
        writer.transport.abort()
    return taken, memory


def measure(server: ServerProcess, count: int, context: ssl.SSLContext | None) -> dict[str, float]:
    before = memory_bytes(server.pid)["resident_bytes"]
    taken, after = asyncio.run(crowd(server, count, context))
    return {
        "connections": count,
        "seconds": round(taken, 2),
        "broker_processor_seconds": round(processor_seconds(server.pid), 2),
        "kilobytes_per_connection": round((after - before) / count / 1000, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", type=int, default=10_000)
    parser.add_argument("--tls", type=int, default=2_000)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Mosquitto(folder / "plain") as plain:
            found = {"plain": measure(plain, options.plain, None)}
        (folder / "own").mkdir()
        mutual = MutualMosquitto(folder / "own", "agent")
        file = mutual.pki / "broker" / "mosquitto.conf"
        lines = file.read_text().replace("use_username_as_clientid true", "")  # one for all
        file.write_text(lines)
        with mutual:
            context = mutual.settings("agent").tls()
            found["tls"] = measure(mutual, options.tls, context)
    report("broker_connections", found)


if __name__ == "__main__":
    main()
