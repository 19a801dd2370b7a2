# SPDX-License-Identifier: Apache-2.0
"""A device to try the skeleton on: `python -m rackwatt.agents.blueprint.device [PORT]`.

It has no sensor: its values are made up, as its name says.
"""

import asyncio
import contextlib
import math
import sys
import time

from rackwatt.agents.blueprint.protocol import REQUEST


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    request = await reader.readline()
    wave = math.sin(time.time() / 60.0)
    if request == REQUEST:
        line = f"temperature={22.0 + wave:.2f} humidity={45.0 - 3.0 * wave:.1f}"
    else:
        line = "ERR unknown request"
    writer.write(f"{line}\n".encode())
    await writer.drain()
    writer.close()


async def serve(port: int) -> None:
    """Serve on loopback until cancelled."""
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print(f"a made-up sensor on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 7770))
