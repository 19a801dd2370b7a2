# SPDX-License-Identifier: Apache-2.0
"""Modbus TCP gateways, each with several meters behind it as units, laid out by the agents' maps.

Reading is all they allow: other function codes than the device's own answer "illegal function".
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from rackwatt.agents.modbus import RegisterMap, encode, load_map
from rackwatt.agents.modbus.points import fitting_exponents, register_at
from rackwatt.twin.addresses import Gateway
from rackwatt.twin.devices import Device, Values
from rackwatt.twin.faults import Faults
from rackwatt.twin.panel import Panel
from rackwatt.wire.inventory import Register

_FUNCTIONS: Final = {"holding": 3, "input": 4}
_FILL: Final = 125
"""Gaps of so many registers read as 0, as reserved registers do; longer: "illegal address"."""


def energy_registers(register_map: RegisterMap, peaks: Mapping[str, float]) -> dict[str, Register]:
    """How each energy register of a device counts, with the powers of ten that it uses."""
    points = register_map.points()
    exponents = fitting_exponents(points, peaks)
    found: dict[str, Register] = {}
    for point in points:
        exponent = 0
        if point.scale_address is not None:
            exponent = exponents.get(point.scale_address, point.typical_exponent)
        register = register_at(point, exponent)
        if register is not None:
            found[point.spec.name] = register
    return found


class Unit:
    """One device as a Modbus unit."""

    def __init__(self, device: Device, panel: Panel, faults: Faults) -> None:
        self._device = device
        self._panel = panel
        self._faults = faults
        self._map = load_map(device.map)
        self._registers = energy_registers(self._map, device.peaks)
        self._tick = -1
        self._texts = {
            "manufacturer": self._map.file.manufacturer,
            "model": self._map.file.device,
            "serial": _serial(device.id),
            "firmware": "twin",
        }
        self._functions = frozenset(
            _FUNCTIONS[item.function or self._map.file.function]
            for item in self._map.file.fields.values()
        ) or frozenset({3})
        self._start = 0
        self._image: list[int] = []

    def rollover_of(self, field: str) -> float | None:
        """Where the register of `field` rolls over, Wh."""
        register = self._registers.get(field)
        return None if register is None else register.modulus_watt_hours

    def _encode(self) -> dict[int, int]:
        values: Values = dict(self._panel.values(self._device.id))
        for name, register in self._registers.items():
            if name in values and register.modulus_watt_hours is not None:
                # The last step before the roll-over must not round up to the modulus itself.
                step = register.resolution_watt_hours or 0.0
                values[name] %= register.modulus_watt_hours
                values[name] = min(values[name], register.modulus_watt_hours - step)
        return encode(self._map, values, self._device.peaks, self._texts)

    def sim_device(self, unit: int) -> SimDevice:
        """The unit for pymodbus's server."""
        memory = self._encode()
        addresses = sorted(memory)
        self._start = addresses[0]
        blocks: list[list[int]] = [[addresses[0], addresses[0]]]
        for before, address in pairwise(addresses):
            if address - before - 1 <= _FILL:
                blocks[-1][1] = address
            else:
                blocks.append([address, address])
        data = [
            SimData(
                first,
                values=[memory.get(address, 0) for address in range(first, last + 1)],
                datatype=DataType.REGISTERS,
            )
            for first, last in blocks
        ]
        self._image = [0] * (addresses[-1] - self._start + 1)
        return SimDevice(id=unit, simdata=data, action=self._answer)

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if self._faults.get("dead", self._device.id):
            # The server leaves a request to a unit that it does not know without an answer.
            raise NoSuchIdException
        if self._faults.get("exception", self._device.id):
            return ExcCodes.DEVICE_FAILURE
        if set_values is not None or function_code not in self._functions:
            return ExcCodes.ILLEGAL_FUNCTION
        if self._tick != self._panel.tick:
            self._tick = self._panel.tick
            for at, word in self._encode().items():
                self._image[at - self._start] = word
        offset = address - start_address
        current_registers[offset : offset + count] = self._image[offset : offset + count]
        return None


def _serial(device: str) -> str:
    """Digits only: some nameplates hold a number."""
    return str(int.from_bytes(device.encode()[-4:], "big") % 900_000_000 + 100_000_000)


class ModbusServers:
    """All gateways of a site.

    Args:
        gateways: ports and units.
        devices: by id.
        panel: what the devices show.
        faults: that are on.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        devices: Mapping[str, Device],
        panel: Panel,
        faults: Faults,
    ) -> None:
        self._gateways = gateways
        self.units = {
            name: Unit(devices[name], panel, faults)
            for gateway in gateways
            for name in gateway.units.values()
        }
        self._servers: list[ModbusTcpServer] = []

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: a port is taken.
        """
        for gateway in self._gateways:
            devices = [self.units[name].sim_device(unit) for unit, name in gateway.units.items()]
            server = ModbusTcpServer(
                devices, address=("127.0.0.1", gateway.port), ignore_missing_devices=True
            )
            self._servers.append(server)
            if not await server.listen():
                await self.aclose()
                raise OSError(f"Modbus gateway {gateway.name}: port {gateway.port} is taken")

    async def aclose(self) -> None:
        """Stop listening and close all connections."""
        for server in self._servers:
            await server.shutdown()  # type: ignore[no-untyped-call]
        self._servers.clear()
