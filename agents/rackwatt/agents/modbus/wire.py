# SPDX-License-Identifier: Apache-2.0
"""The adapter to pymodbus: the only module that imports it."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from rackwatt.agents.modbus.link import Reader, ReadFailed
from rackwatt.agents.modbus.schema import Function
from rackwatt.wire.readings import Quality

_GATEWAY_TARGET_SILENT: Final = 0x0B


class _Client(Protocol):
    """All of pymodbus's client that is used: it can write, we cannot."""

    def read_holding_registers(
        self, address: int, *, count: int, device_id: int
    ) -> Awaitable[Any]: ...

    def read_input_registers(
        self, address: int, *, count: int, device_id: int
    ) -> Awaitable[Any]: ...

    def close(self) -> None: ...


class PymodbusReader:
    """A connection made by pymodbus."""

    def __init__(self, client: _Client, gone: asyncio.Event) -> None:
        self._client = client
        self._gone = gone

    async def read(self, unit: int, function: Function, address: int, count: int) -> list[int]:
        """See `Reader.read`."""
        from pymodbus.exceptions import ModbusException
        from pymodbus.pdu import ExceptionResponse

        client = self._client
        call = client.read_input_registers if function == "input" else client.read_holding_registers
        try:
            answer = await call(address, count=count, device_id=unit)
        except ModbusException as error:
            raise ReadFailed(Quality.TIMEOUT, str(error)) from error
        where = f"unit {unit}, {function} {address}..{address + count - 1}"
        if isinstance(answer, ExceptionResponse):
            code = answer.exception_code
            silent = code == _GATEWAY_TARGET_SILENT
            quality = Quality.TIMEOUT if silent else Quality.EXCEPTION
            raise ReadFailed(quality, f"{where}: exception {code}", code)
        words: list[int] = list(answer.registers)
        if len(words) != count:
            raise ReadFailed(Quality.EXCEPTION, f"{where}: {len(words)} registers came")
        return words

    async def lost(self) -> None:
        """See `Reader.lost`."""
        await self._gone.wait()

    def close(self) -> None:
        """See `Reader.close`."""
        self._client.close()


async def connect(host: str, port: int, timeout: float) -> Reader | None:
    """Open a connection; None if that fails within `timeout` seconds."""
    from pymodbus.client import AsyncModbusTcpClient

    gone = asyncio.Event()

    def trace(up: bool) -> None:
        if not up:
            gone.set()

    client = AsyncModbusTcpClient(
        host,
        port=port,
        timeout=timeout,
        retries=0,  # the next round is the retry
        reconnect_delay=0,  # Link does that, without being in anybody's way
        trace_connect=trace,
    )
    if not await client.connect():
        client.close()
        return None
    return PymodbusReader(client, gone)
