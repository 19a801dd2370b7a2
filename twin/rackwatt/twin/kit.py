# SPDX-License-Identifier: Apache-2.0
"""Everything that unmodified agents and an unmodified collector need to work on the twin.

`build` chooses ports and writes the site file and the agents' configurations, as an integrator
does for a real site; nothing in them but `simulated: true` and the GPU binding tells the
difference.
"""

import json
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rackwatt.twin.addresses import Gateway, Host
from rackwatt.twin.agentfiles import AgentFiles
from rackwatt.twin.chains import SIDES, chains_document
from rackwatt.twin.devices import (
    Catalogue,
    Device,
    catalogue,
    default_meters,
    row_meter,
)
from rackwatt.twin.files import write, write_yaml
from rackwatt.twin.gpufile import gpu_uuid, write_layout
from rackwatt.twin.gpus import make_layout
from rackwatt.twin.spec import HallSpec, MeterSpec, TenantSpec, TwinSpec
from rackwatt.twin.world.racks import Floor
from rackwatt.wire.ports import FOR_TWIN, free_ports

_UNITS_PER_GATEWAY: Final = 16
_CLASSES: Final = {"grid": 0.5, "pv": 0.5, "wind": 0.5, "battery": 0.5, "genset": 0.5}
_LOAD_CLASS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Kit:
    """What `build` made; all paths are absolute."""

    data_dir: Path
    site_file: Path
    field_agent_files: tuple[Path, ...]
    """Meters, coolant units, PDUs and probes: agents that run in one or a few processes."""
    node_agent_files: tuple[Path, ...]
    """One per simulated GPU node."""
    gateways: tuple[Gateway, ...]
    hosts: tuple[Host, ...]
    control_port: int
    gpu_file: Path

    @property
    def agent_files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.field_agent_files, *self.node_agent_files)


def _spec_file(data_dir: Path) -> Path:
    return data_dir / "twin" / "spec.json"


def _kit_file(data_dir: Path) -> Path:
    return data_dir / "twin" / "kit.json"


def build(
    spec: TwinSpec,
    data_dir: Path,
    broker_url: str,
    rng: random.Random | None = None,
    *,
    alertmanagers: Sequence[str] = (),
    keys: Path | None = None,
) -> Kit:
    """Choose free loopback ports and write all files below `data_dir`.

    `site.yaml`, `agents/*.yaml` (their outboxes go to `agents/<name>/outbox.db`), `twin/gpus.json`
    with its values, and spec and kit for `load_kit`. Building again over an earlier run keeps the
    outboxes and the twin's state.

    Args:
        spec: the site.
        data_dir: of the run; made if it is not there.
        broker_url: `mqtt://host:port` or `mqtts://…`, for the agents.
        rng: for the ports.
        alertmanagers: that agents of coolant units tell.
        keys: where each agent will find its certificate and key; None: they have none.

    Raises:
        OSError: a file cannot be written, or no port is free.
    """
    data_dir = data_dir.resolve()
    floor = Floor(spec)
    devices = catalogue(spec, floor)
    draft_gateways, draft_hosts = _gateways(devices), _hosts(devices)
    chance = rng or random.Random()  # noqa: S311 - ports are no secret
    tcp = free_ports(len(draft_gateways) + 1, socket.SOCK_STREAM, FOR_TWIN, chance)
    udp = free_ports(len(draft_hosts), socket.SOCK_DGRAM, FOR_TWIN, chance)
    gateways = [Gateway(name, port, units)
                for port, (name, units) in zip(tcp[1:], draft_gateways, strict=True)]  # fmt: skip
    hosts = [Host(name, port, names) for port, (name, names) in zip(udp, draft_hosts, strict=True)]
    gpu_file = data_dir / "twin" / "gpus.json"
    layout = make_layout(spec, floor)
    write_layout(layout, gpu_file)
    site_file = data_dir / "site.yaml"
    write_yaml(site_file, site_document(spec), _SITE_HEAD)
    configs = AgentFiles(spec, data_dir / "agents", broker_url, alertmanagers, keys)
    by_name = {device.id: device for device in devices.all}
    field = [configs.modbus("modbus-site", "site", devices.site, gateways, by_name)]
    for hall in spec.halls:
        if devices.halls[hall.id]:
            field.append(
                configs.modbus(
                    f"modbus-{hall.id}", hall.id, devices.halls[hall.id], gateways, by_name
                )
            )
        if devices.racks[hall.id]:
            field.append(configs.snmp(f"snmp-{hall.id}", hall.id, devices.racks[hall.id], hosts,
                                      by_name))  # fmt: skip
    halls = {rack.id: rack.hall for rack in floor.racks}
    nodes = [configs.nvml(node.id, halls[node.rack], gpu_file)
             for node in floor.nodes if node.id in layout.nodes]  # fmt: skip
    kit = Kit(
        data_dir, site_file, tuple(field), tuple(nodes),
        tuple(gateways), tuple(hosts), tcp[0], gpu_file,
    )  # fmt: skip
    write(_spec_file(data_dir), spec.model_dump_json(indent=1))
    write(_kit_file(data_dir), json.dumps(asdict(kit), default=str, indent=1))
    return kit


def load_kit(data_dir: Path) -> tuple[TwinSpec, Kit]:
    """What `build` left in `data_dir`.

    Raises:
        OSError: nothing was built there.
        ValueError: it was built by another version.
    """
    data_dir = data_dir.resolve()
    spec = TwinSpec.model_validate_json(_spec_file(data_dir).read_text(encoding="utf-8"))
    raw = json.loads(_kit_file(data_dir).read_text(encoding="utf-8"))
    try:
        return spec, Kit(
            data_dir=Path(raw["data_dir"]),
            site_file=Path(raw["site_file"]),
            field_agent_files=tuple(Path(name) for name in raw["field_agent_files"]),
            node_agent_files=tuple(Path(name) for name in raw["node_agent_files"]),
            gateways=tuple(
                Gateway(g["name"], g["port"], {int(u): d for u, d in g["units"].items()})
                for g in raw["gateways"]
            ),
            hosts=tuple(Host(h["name"], h["port"], tuple(h["devices"])) for h in raw["hosts"]),
            control_port=int(raw["control_port"]),
            gpu_file=Path(raw["gpu_file"]),
        )
    except KeyError as error:
        raise ValueError(f"{_kit_file(data_dir)} lacks {error}: build it again") from error


_SITE_HEAD: Final = "# Written by the twin: a simulated site. It is written anew at every start.\n"


def _gateways(devices: Catalogue) -> list[tuple[str, dict[int, str]]]:
    """SunSpec devices answer for themselves, the others sit behind gateways."""
    found: list[tuple[str, dict[int, str]]] = []
    groups: list[tuple[str, Iterable[Device]]] = [("site", devices.site), *devices.halls.items()]
    for place, members in groups:
        alone = [device for device in members if device.map.startswith("sunspec-")]
        shared = [device for device in members if not device.map.startswith("sunspec-")]
        found += [(device.id, {1: device.id}) for device in alone]
        for i in range(0, len(shared), _UNITS_PER_GATEWAY):
            part = shared[i : i + _UNITS_PER_GATEWAY]
            name = f"gateway-{place}-{i // _UNITS_PER_GATEWAY + 1}"
            found.append((name, {unit: device.id for unit, device in enumerate(part, start=1)}))
    return found


def _hosts(devices: Catalogue) -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    for members in devices.racks.values():
        for pdu, probe in zip(members[::2], members[1::2], strict=True):
            found.append((pdu.id, (pdu.id, probe.id)))
    return found


# the site file


def site_document(spec: TwinSpec) -> dict[str, Any]:
    """The site file of the simulated site."""
    site = spec.site
    document: dict[str, Any] = {
        "site": {
            "id": site.id, "name": site.name, "timezone": site.timezone, "country": site.country,
            "latitude": site.latitude, "longitude": site.longitude, "simulated": True,
        },
    }  # fmt: skip
    battery = spec.battery
    if battery.capacity_wh:
        document["battery"] = {
            "capacity_wh": battery.capacity_wh,
            "charge_efficiency": battery.charge_efficiency,
            "discharge_efficiency": battery.discharge_efficiency,
            "initial_wh": battery.initial_wh,
        }
    if spec.contracts:
        document["contracts"] = [
            {"id": c.id, "claim": f"ppa_{c.kind}", "meter": c.id} for c in spec.contracts
        ]
    document["meters"] = _meters(spec)
    document["halls"] = [_hall(spec, hall) for hall in spec.halls]
    document |= chains_document(spec, Floor(spec))
    document["agents"] = _agents(spec)
    promises = {"phases": spec.phases, "commitments": spec.commitments}
    document |= {name: list(items) for name, items in promises.items() if items}
    if spec.tenants:
        document["tenants"] = [_tenant(spec, tenant) for tenant in spec.tenants]
    return document


def _tenant(spec: TwinSpec, tenant: TenantSpec) -> dict[str, Any]:
    """A tenant as the site file names it: GPUs by their UUID."""
    gpus = [
        f"{node}/{gpu_uuid(spec.site.id, node, int(index))}"
        for node, _, index in (name.partition("/") for name in tenant.gpus)
    ]
    held = {"gpus": gpus, "nodes": list(tenant.nodes), "racks": list(tenant.racks)}
    facts = {"name": tenant.name, "kind": tenant.kind, "country": tenant.country}
    return {
        "id": tenant.id,
        **{name: value for name, value in facts.items() if value},
        "assignments": [{unit: names for unit, names in held.items() if names}],
    }


def _meters(spec: TwinSpec) -> list[dict[str, Any]]:
    meters = spec.meters or default_meters(spec)
    listed = [_meter(meter) for meter in meters]
    listed += [{"id": c.id, "class": 0.5, "cadence": "1s"} for c in spec.contracts]
    terms: list[str] = []
    for hall in spec.halls:
        if hall.metering == "row":
            sides = ("", *SIDES) if spec.feeds.side_meters else ("",)
            listed += [
                {"id": row_meter(row.id, side), "class": _LOAD_CLASS, "cadence": "1s",
                 "hall": hall.id}
                for side in sides for row in hall.rows
            ]  # fmt: skip
            terms += [row_meter(row.id) for row in hall.rows]
        else:
            terms += [f"{row.racks}-pdu-[a-b]" for row in hall.rows]
    listed.append({"id": "it", "role": "it", "position": "pdu_output", "sum": terms})
    ups = [meter.id for meter in meters if meter.quantity == "ups"]
    if ups:
        listed.append({"id": "losses", "role": "losses", "sum": ups, "minus": ["it"]})
    return listed


def _meter(meter: MeterSpec) -> dict[str, Any]:
    row: dict[str, Any] = {"id": meter.id}
    if meter.quantity != "ups":
        row["role"] = meter.quantity
    row["class"] = _CLASSES.get(meter.quantity, _LOAD_CLASS)
    row["cadence"] = "1s"
    return row


def _hall(spec: TwinSpec, hall: HallSpec) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for row in hall.rows:
        item: dict[str, Any] = {"id": row.id, "racks": row.racks}
        if row.id in spec.served_rows:
            item["nodes"] = f"{{rack}}-n[1-{row.nodes_per_rack}]"
            item["pdus"] = "{rack}-pdu-[a-b]"
            item["pdu_class"] = _LOAD_CLASS
            item["sensors"] = {"inlet": "{rack}-inlet", "outlet": "{rack}-outlet"}
        if hall.metering == "row":
            item["pdu_parent"] = row_meter(row.id)
        rows.append(item)
    document: dict[str, Any] = {"id": hall.id, "rows": rows}
    if hall.cdus:
        document["devices"] = list(hall.cdus)
    return document


def _agents(spec: TwinSpec) -> list[dict[str, str]]:
    agents = [{"name": "modbus-site", "hall": "site"}]
    for hall in spec.halls:
        if hall.cdus or hall.metering == "row":
            agents.append({"name": f"modbus-{hall.id}", "hall": hall.id})
        if any(row.id in spec.served_rows for row in hall.rows):
            agents.append({"name": f"snmp-{hall.id}", "hall": hall.id})
    return agents


# the agents' configurations
