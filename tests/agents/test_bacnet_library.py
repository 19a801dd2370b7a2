# SPDX-License-Identifier: Apache-2.0
"""The BACnet driver against a device of bacpypes3's own, beside the fake."""

import asyncio
import importlib
import socket
from typing import Any

import pytest

from rackwatt.agents.bacnet import Settings, create
from rackwatt.agents.source import Context
from rackwatt.wire.readings import Quality


async def test_against_the_librarys_own_device() -> None:
    app: Any = importlib.import_module("bacpypes3.ipv4.app")
    analog: Any = importlib.import_module("bacpypes3.local.analog")
    binary: Any = importlib.import_module("bacpypes3.local.binary")
    device: Any = importlib.import_module("bacpypes3.local.device")
    pdu: Any = importlib.import_module("bacpypes3.pdu")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = device.DeviceObject(
        objectIdentifier="device,99", objectName="there", vendorIdentifier=999
    )
    server = app.NormalApplication(here, pdu.IPv4Address(f"127.0.0.1/32:{port}"))
    units = ("degreesCelsius", "degreesFahrenheit", "litersPerSecond")
    for number, unit in enumerate(units, 1):
        server.add_object(
            analog.AnalogInputObject(
                objectIdentifier=f"analog-input,{number}",
                objectName=f"a{number}",
                presentValue=41.0,
                units=unit,
                statusFlags=[0, 0, 0, 0],
                outOfService=False,
                eventState="normal",
            )
        )
    for number in (31, 32):
        server.add_object(
            binary.BinaryInputObject(
                objectIdentifier=f"binary-input,{number}",
                objectName=f"b{number}",
                presentValue="active" if number == 32 else "inactive",
                statusFlags=[0, 0, 0, 0],
                outOfService=False,
                eventState="normal",
                polarity="normal",
            )
        )
    try:
        at = {"host": "127.0.0.1", "port": port, "instance": 99}
        rows = [
            {"device": "d", "map": "chiller", **at},
            {"device": "l", "map": "leak-contacts", **at},
        ]
        source = create(Settings.model_validate({"devices": rows, "timeout": 20}), Context("node"))
        await source.start()
        found = {one.field: one for one in await source.probe()}
        await source.aclose()
    finally:
        server.close()
        await asyncio.sleep(0)
    values = {name: one.value for name, one in found.items()}
    assert values == {
        "supply_temperature_celsius": 41.0,
        "return_temperature_celsius": pytest.approx(5.0),
        "flow_liters_per_second": 41.0,
        "heat_watts": None,
        "leak_ratio": 1.0,
    }
    assert found["heat_watts"].quality is Quality.NOT_SUPPORTED
