# SPDX-License-Identifier: Apache-2.0
"""The files of the agents that read the simulated site."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rackwatt.agents.safety.limits import RULES
from rackwatt.twin.addresses import Credentials, Gateway, Host
from rackwatt.twin.devices import PUMPS, Device
from rackwatt.twin.files import write, write_yaml
from rackwatt.twin.spec import TwinSpec

_SNMP_EVERY: Final = "2s"


class AgentFiles:
    """Writes them below a directory.

    Args:
        spec: the site.
        directory: of the files; an agent's outbox goes to a folder of its name.
        broker_url: where the agents send.
        alertmanagers: that agents of coolant units tell.
        keys: folder of ca.crt and, for each agent, NAME.crt and NAME.key; None: no TLS.
    """

    def __init__(
        self,
        spec: TwinSpec,
        directory: Path,
        broker_url: str,
        alertmanagers: Sequence[str],
        keys: Path | None = None,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._broker_url = broker_url
        self._alertmanagers = alertmanagers
        self._keys = keys

    def _write(
        self, name: str, hall: str, cadence: tuple[str, str], source: str, section: dict[str, Any],
        **more: dict[str, Any],
    ) -> Path:  # fmt: skip
        file = self._directory / f"{name}.yaml"
        document = {
            "agent": {
                "site": self._spec.site.id, "hall": hall, "name": name,
                "sample_every": cadence[0], "send_every": cadence[1],
            },
            "broker": self._broker(name),
            "outbox": {"path": f"{name}/outbox.db"},
            "source": source,
            source: section,
            **more,
        }  # fmt: skip
        write_yaml(file, document)
        (self._directory / name).mkdir(parents=True, exist_ok=True)
        return file

    def _broker(self, name: str) -> dict[str, str]:
        if self._keys is None:
            return {"url": self._broker_url}
        files = {"ca": "ca.crt", "certificate": f"{name}.crt", "key": f"{name}.key"}
        found = {f"{what}_file": str(self._keys / file) for what, file in files.items()}
        return {"url": self._broker_url, **found}

    def modbus(
        self,
        name: str,
        hall: str,
        members: Iterable[Device],
        gateways: Iterable[Gateway],
        by_name: Mapping[str, Device],
    ) -> Path:
        """Meters and coolant units of a hall, or of the site."""
        wanted = {device.id for device in members}
        rows = [
            {"device": id_, "map": by_name[id_].map, "host": "127.0.0.1",
             "port": gateway.port, "unit": unit}
            for gateway in gateways
            for unit, id_ in gateway.units.items()
            if id_ in wanted
        ]  # fmt: skip
        cdus = [str(row["device"]) for row in rows if by_name[str(row["device"])].kind == "coolant"]
        if not cdus:
            section: dict[str, Any] = {"timeout": "1s", "devices": rows}
            return self._write(name, hall, ("1s", "1s"), "modbus", section)
        section = {"timeout": "500ms", "retry_cap": "5s", "devices": rows}
        return self._write(name, hall, ("1s", "1s"), "modbus", section, safety=self._safety(cdus))

    def _safety(self, cdus: Iterable[str]) -> dict[str, Any]:
        """What must not wait. Their supply follows the weather here, hence no rule for it."""
        rules = [rule for rule in RULES if rule not in {"supply_temperature", "dew_point"}]
        loops = [
            {"device": cdu, "rules": rules, "pumps_installed": round(PUMPS), "pumps_needed": 1,
             "limits": {"pressure_basis": "pump_speed"}}
            for cdu in cdus
        ]  # fmt: skip
        told = [{"url": url} for url in self._alertmanagers]
        return {"alertmanagers": told, "loops": loops} if told else {"loops": loops}

    def snmp(
        self,
        name: str,
        hall: str,
        members: Iterable[Device],
        hosts: Iterable[Host],
        by_name: Mapping[str, Device],
    ) -> Path:
        """PDUs and probes of a hall."""
        wanted = {device.id for device in members}
        secured = {row.id for row in self._spec.rows if row.snmp == "v3"}
        rows: list[dict[str, Any]] = []
        for host in hosts:
            for id_ in host.devices:
                if id_ not in wanted:
                    continue
                row = {"device": id_, "map": by_name[id_].map, "host": "127.0.0.1",
                       "port": host.port}  # fmt: skip
                if by_name[id_].row in secured:
                    row["credentials"] = "v3"
                rows.append(row)
        section: dict[str, Any] = {"timeout": "1s", "devices": rows}
        if any("credentials" in row for row in rows):
            section = {"credentials": {"v3": self._v3(name)}, **section}
        return self._write(name, hall, (_SNMP_EVERY, "10s"), "snmp", section)

    def _v3(self, name: str) -> dict[str, str]:
        known = Credentials()
        keys = {"auth_key_file": known.auth_key, "priv_key_file": known.priv_key}
        for setting, key in keys.items():
            write(self._directory / name / f"{setting}.txt", key + "\n")
        files = {setting: f"{name}/{setting}.txt" for setting in keys}
        return {"version": "v3", "user": known.user, "auth": "SHA-256", "priv": "AES-128", **files}

    def nvml(self, node: str, hall: str, gpu_file: Path) -> Path:
        """One GPU node."""
        section = {
            "node": node,
            "binding": "rackwatt.twin.nvml:open_node",
            "binding_argument": f"{gpu_file}#{node}",
            "required": False,  # an agent may start before the twin has written its first values
        }
        return self._write(node, hall, ("1s", "10s"), "nvml", section)
