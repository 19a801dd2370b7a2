# SPDX-License-Identifier: Apache-2.0
"""What the fake Redfish services show: a liquid-cooled rack, and a plain server.

Everything here is made up, as the names say: a rack of 8 power shelves with 6 supplies each, one
coolant unit, 18 trays with 4 GPUs each. What is broken comes with each call.
"""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Resource = dict[str, Any]
Broken = Callable[[str, str], bool]
"""Whether a fault is on, by its name and target."""
Tree = Callable[[float, Broken], dict[str, Resource]]
"""All resources by path, at a time in s since the start."""

ROOT: Final = "/redfish/v1"
SHELVES: Final = 8
SUPPLIES: Final = 6
TRAYS: Final = 18
GPUS: Final = 4
_GPU_WATTS: Final = 1050.0
_TRAY_WATTS: Final = 5_400.0
_OTHER_WATTS: Final = 14_000.0
"""Switch trays and what else a rack has."""
_WELL: Final[Mapping[str, str]] = {"State": "Enabled", "Health": "OK"}
_CRITICAL: Final[Mapping[str, str]] = {"State": "Enabled", "Health": "Critical"}


def _reading(value: float) -> dict[str, float]:
    return {"Reading": round(value, 3)}


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


class _Builder:
    def __init__(self) -> None:
        self.found: dict[str, Resource] = {}

    def add(self, path: str, **content: Any) -> str:
        name = path.rpartition("/")[2]
        self.found[path] = {"@odata.id": path, "Id": name, "Name": name, **content}
        return path

    def collection(self, path: str, members: Iterable[str]) -> str:
        links = [_link(member) for member in members]
        count = {"Members@odata.count": len(links)}
        return self.add(path, Members=links, **count)

    def root(self, product: str, **links: str) -> None:
        self.add(
            ROOT,
            Product=product,
            RedfishVersion="1.20.0",
            UUID=str(uuid.uuid5(uuid.NAMESPACE_DNS, product)),
            Links={"Sessions": _link(f"{ROOT}/SessionService/Sessions")},
            SessionService=_link(f"{ROOT}/SessionService"),
            **{name: _link(path) for name, path in links.items()},
        )
        self.add(f"{ROOT}/SessionService", Sessions=_link(f"{ROOT}/SessionService/Sessions"))
        self.add(f"{ROOT}/EventService", ServerSentEventUri=f"{ROOT}/EventService/SSE")


def _wave(seconds: float, number: int) -> float:
    return 1.0 + 0.05 * math.sin(seconds / 60.0 + number)


def rack(seconds: float, broken: Broken) -> dict[str, Resource]:
    """A rack of 72 GPUs behind one manager."""
    build = _Builder()
    build.root(
        "Made-up NVL72-class rack",
        Chassis=f"{ROOT}/Chassis",
        Systems=f"{ROOT}/Systems",
        PowerEquipment=f"{ROOT}/PowerEquipment",
        ThermalEquipment=f"{ROOT}/ThermalEquipment",
        EventService=f"{ROOT}/EventService",
        UpdateService=f"{ROOT}/UpdateService",
    )
    trays = [_tray(build, number, seconds, broken) for number in range(1, TRAYS + 1)]
    detectors = _detectors(build, f"{ROOT}/Chassis/Rack1/ThermalSubsystem", "Rack1", 4, broken)
    thermal = build.add(f"{ROOT}/Chassis/Rack1/ThermalSubsystem", LeakDetection=_link(detectors))
    cabinet = build.add(
        f"{ROOT}/Chassis/Rack1", ChassisType="Rack", ThermalSubsystem=_link(thermal), Status=_WELL
    )
    build.collection(f"{ROOT}/Chassis", [cabinet, *trays])
    build.collection(f"{ROOT}/Systems", [f"{ROOT}/Systems/tray_{n}" for n in range(1, TRAYS + 1)])
    watts = (TRAYS * _TRAY_WATTS + _OTHER_WATTS) * _wave(seconds, 0)
    dead = sum(broken("shelf", f"PowerShelf_{number}") for number in range(1, SHELVES + 1))
    share = watts / max(SHELVES - dead, 1)
    shelves = [_shelf(build, n, seconds, share, broken) for n in range(1, SHELVES + 1)]
    build.collection(f"{ROOT}/PowerEquipment/PowerShelves", shelves)
    build.add(f"{ROOT}/PowerEquipment", PowerShelves=_link(f"{ROOT}/PowerEquipment/PowerShelves"))
    build.collection(f"{ROOT}/ThermalEquipment/CDUs", [_cdu(build, watts, broken)])
    build.add(f"{ROOT}/ThermalEquipment", CDUs=_link(f"{ROOT}/ThermalEquipment/CDUs"))
    _firmware(build, {"RackManager": "1.4.2", "PowerShelves": "3.07", "CDU": "2.11"}, broken)
    return build.found


def _detectors(build: _Builder, under: str, target: str, count: int, broken: Broken) -> str:
    paths = []
    for number in range(1, count + 1):
        wet = broken("leak", target) and number == 1
        off = broken("detector", target) and number == count
        paths.append(
            build.add(
                f"{under}/LeakDetection/LeakDetectors/{target}_LeakDetector_{number}",
                DetectorState=None if off else "Critical" if wet else "OK",
                LeakDetectorType="Moisture",
                Status={"State": "UnavailableOffline"} if off else _CRITICAL if wet else _WELL,
            )
        )
    detectors = build.collection(f"{under}/LeakDetection/LeakDetectors", paths)
    return build.add(f"{under}/LeakDetection", LeakDetectors=_link(detectors))


def _tray(build: _Builder, number: int, seconds: float, broken: Broken) -> str:
    name = f"tray_{number}"
    path = f"{ROOT}/Chassis/{name}"
    watts = _TRAY_WATTS * _wave(seconds, number)
    metrics = build.add(
        f"{path}/EnvironmentMetrics",
        PowerWatts=_reading(watts),
        EnergykWh=_reading(1000.0 * number + _TRAY_WATTS * seconds / 3.6e6),
    )
    intake = build.add(
        f"{path}/ThermalSubsystem/ThermalMetrics",
        TemperatureSummaryCelsius={"Intake": _reading(24.0 + number / 10)},
    )
    thermal = build.add(
        f"{path}/ThermalSubsystem",
        ThermalMetrics=_link(intake),
        LeakDetection=_link(_detectors(build, f"{path}/ThermalSubsystem", name, 2, broken)),
    )
    gpus = []
    for index in range(GPUS):
        gpu = f"{ROOT}/Systems/{name}/Processors/GPU_{index}"
        own = build.add(
            f"{gpu}/EnvironmentMetrics",
            PowerWatts=_reading(_GPU_WATTS * _wave(seconds, number + index)),
            EnergyJoules=_reading(_GPU_WATTS * seconds),
            TemperatureCelsius=_reading(58.0 + index),
        )
        gpus.append(
            build.add(
                gpu,
                ProcessorType="GPU",
                UUID=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}-{index}")),
                EnvironmentMetrics=_link(own),
                Status=_WELL,
            )
        )
    processors = build.collection(f"{ROOT}/Systems/{name}/Processors", gpus)
    build.add(f"{ROOT}/Systems/{name}", Processors=_link(processors))
    return build.add(
        path,
        ChassisType="Sled",
        Manufacturer="Made-up",
        Model="Tray of four",
        SerialNumber=f"TRAY-{number:02}",
        EnvironmentMetrics=_link(metrics),
        ThermalSubsystem=_link(thermal),
        Status=_WELL,
    )


def _shelf(build: _Builder, number: int, seconds: float, watts: float, broken: Broken) -> str:
    name = f"PowerShelf_{number}"
    path = f"{ROOT}/PowerEquipment/PowerShelves/{name}"
    dead = broken("shelf", name)
    supplies = []
    for index in range(1, SUPPLIES + 1):
        if broken("psu_gone", f"{name}/PS{index}"):
            continue
        lost = dead or broken("psu", f"{name}/PS{index}")
        status = _CRITICAL if lost else _WELL
        supplies.append(
            build.add(f"{path}/PowerSupplies/PS{index}", Status=status, PowerCapacityWatts=5500)
        )
    metrics = build.add(
        f"{path}/Metrics",
        PowerWatts=_reading(0.0 if dead else watts),
        EnergykWh=_reading(52_000.0 + number + watts * seconds / 3.6e6),
        TemperatureCelsius=_reading(31.0 + number / 10),
    )
    return build.add(
        path,
        EquipmentType="PowerShelf",
        Manufacturer="Made-up",
        Model="33 kW shelf",
        SerialNumber=f"SHELF-{number:02}",
        FirmwareVersion="3.07",
        Metrics=_link(metrics),
        PowerSupplies=_link(build.collection(f"{path}/PowerSupplies", supplies)),
        Status={"State": "UnavailableOffline", "Health": "Critical"} if dead else _WELL,
    )


def _cdu(build: _Builder, watts: float, broken: Broken) -> str:
    path = f"{ROOT}/ThermalEquipment/CDUs/CDU1"
    lost = [broken("pump", f"CDU1/{number}") for number in (1, 2)]
    flow = 150.0 * (2 - sum(lost)) / 2
    supply, rise = 32.0, watts / 1000.0 / max(flow / 60.0 * 3.9, 0.5)
    pumps = [
        build.add(
            f"{path}/Pumps/{number}",
            PumpSpeedPercent=_reading(0.0 if gone else 62.0),
            Status=_CRITICAL if gone else _WELL,
        )
        for number, gone in enumerate(lost, start=1)
    ]
    secondary = build.add(
        f"{path}/SecondaryCoolantConnectors/1",
        SupplyTemperatureCelsius=_reading(supply),
        ReturnTemperatureCelsius=_reading(supply + min(rise, 30.0)),
        FlowLitersPerMinute=_reading(flow),
        DeltaPressurekPa=_reading(180.0 * (flow / 150.0) ** 2),
        HeatRemovedkW=_reading(watts / 1000.0),
    )
    primary = build.add(
        f"{path}/PrimaryCoolantConnectors/1",
        SupplyTemperatureCelsius=_reading(26.0),
        ReturnTemperatureCelsius=_reading(37.0),
        FlowLitersPerMinute=_reading(165.0),
    )
    reservoir = build.add(f"{path}/Reservoirs/1", FluidLevelPercent=_reading(82.0), Status=_WELL)
    links = {
        "Pumps": build.collection(f"{path}/Pumps", pumps),
        "SecondaryCoolantConnectors": build.collection(
            f"{path}/SecondaryCoolantConnectors", [secondary]
        ),
        "PrimaryCoolantConnectors": build.collection(f"{path}/PrimaryCoolantConnectors", [primary]),
        "Reservoirs": build.collection(f"{path}/Reservoirs", [reservoir]),
        "LeakDetection": _detectors(build, path, "CDU1", 2, broken),
    }
    return build.add(
        path,
        EquipmentType="CDU",
        Manufacturer="Made-up",
        Model="150 kW in-rack unit",
        FirmwareVersion="2.11",
        Status=_WELL,
        **{name: _link(target) for name, target in links.items()},
    )


def _firmware(build: _Builder, versions: Mapping[str, str], broken: Broken) -> None:
    under = f"{ROOT}/UpdateService/FirmwareInventory"
    paths = [
        build.add(f"{under}/{name}", Version="9.9" if broken("firmware", name) else version)
        for name, version in versions.items()
    ]
    inventory = build.collection(under, paths)
    build.add(f"{ROOT}/UpdateService", FirmwareInventory=_link(inventory))


def plain(seconds: float, broken: Broken) -> dict[str, Resource]:
    """A server of the older sort: Power and Thermal."""
    build = _Builder()
    build.root("Made-up server", Chassis=f"{ROOT}/Chassis", UpdateService=f"{ROOT}/UpdateService")
    path = f"{ROOT}/Chassis/1U"
    health = "Critical" if broken("psu", "1U/2") else "OK"
    power = build.add(
        f"{path}/Power",
        PowerControl=[{"MemberId": "0", "PowerConsumedWatts": round(344 * _wave(seconds, 1), 1)}],
        PowerSupplies=[
            {"MemberId": "0", "Status": dict(_WELL)},
            {"MemberId": "1", "Status": {"State": "Enabled", "Health": health}},
            {"MemberId": "2", "Status": {"State": "Absent"}},
        ],
    )
    thermal = build.add(
        f"{path}/Thermal",
        Temperatures=[
            {"MemberId": "0", "PhysicalContext": "CPU", "ReadingCelsius": 61},
            {"MemberId": "1", "PhysicalContext": "Intake", "ReadingCelsius": 23.5},
            {"MemberId": "2", "PhysicalContext": "Intake", "ReadingCelsius": 24},
            {"MemberId": "3", "PhysicalContext": "Intake", "Status": {"State": "Absent"}},
        ],
    )
    chassis = build.add(
        path, Model="1U", Power=_link(power), Thermal=_link(thermal), Status=dict(_WELL)
    )
    build.collection(f"{ROOT}/Chassis", [chassis])
    _firmware(build, {"BMC": "1.45"}, broken)
    return build.found


TREES: Final[Mapping[str, Tree]] = {"rack": rack, "plain": plain}
