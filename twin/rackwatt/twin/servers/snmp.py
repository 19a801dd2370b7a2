# SPDX-License-Identifier: Apache-2.0
"""SNMP v2c and v3 responders: many PDUs, one engine.

Each PDU has its own UDP port; all ports feed one pysnmp engine, and the transport domain of a
request tells which PDU was asked. An engine per PDU would load the MIBs 32 times over. Values
come from the agents' OID maps, through the panel; there is no MIB tree, so a GET costs a
millisecond, most of it in the ASN.1 decoder.
"""

# ruff: noqa: N803 - the names are pysnmp's

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pyasn1.type.base import Asn1Item
from pysnmp.carrier.asyncio.dgram.udp import DOMAIN_NAME, UdpTransport
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.proto import rfc1902, rfc1905
from pysnmp.proto.api import v2c

from rackwatt.agents.snmp import OidMap, Typed, encode, load_oid_map
from rackwatt.twin.addresses import Credentials, Host
from rackwatt.twin.devices import Device
from rackwatt.twin.faults import Faults
from rackwatt.twin.panel import Panel

Oid = tuple[int, ...]
_TYPES: Final[Mapping[str, Callable[[Any], Asn1Item]]] = {
    "integer": rfc1902.Integer32,
    "gauge32": rfc1902.Gauge32,
    "unsigned32": rfc1902.Unsigned32,
    "counter32": rfc1902.Counter32,
    "counter64": rfc1902.Counter64,
    "text": rfc1902.OctetString,
}
_WIDTH: Final = {"integer": 2.0**31, "counter64": 2.0**64}
_SYS_DESCR: Final = (1, 3, 6, 1, 2, 1, 1, 1, 0)
_SYS_NAME: Final = (1, 3, 6, 1, 2, 1, 1, 5, 0)
_MOST_REPETITIONS: Final = 32


def _oid(text: str) -> Oid:
    return tuple(int(part) for part in text.split("."))


class Responder:
    """The objects of one host, remade when the world has moved."""

    def __init__(self, host: Host, devices: Mapping[str, Device], panel: Panel) -> None:
        self._host = host
        self._panel = panel
        self._maps: list[tuple[Device, OidMap]] = [
            (devices[name], load_oid_map(devices[name].map)) for name in host.devices
        ]
        self._tick = -1
        self._objects: dict[Oid, Asn1Item] = {}
        self._sorted: list[Oid] = []
        self._oids: dict[str, Oid] = {}

    @property
    def objects(self) -> Mapping[Oid, Asn1Item]:
        """OID to value, as of now."""
        if self._tick != self._panel.tick:
            self._tick = self._panel.tick
            self._refresh()
        return self._objects

    def _refresh(self) -> None:
        found: dict[Oid, Asn1Item] = {
            _SYS_DESCR: rfc1902.OctetString(f"{self._maps[0][1].file.device} (simulated)"),
            _SYS_NAME: rfc1902.OctetString(self._host.name),
        }
        for device, oid_map in self._maps:
            for text, typed in self._encode(device, oid_map).items():
                oid = self._oids.get(text)
                if oid is None:
                    oid = self._oids[text] = _oid(text)
                found[oid] = _TYPES[typed.type](typed.value)
        if len(found) != len(self._objects):
            self._sorted = sorted(found)
        self._objects = found

    def _encode(self, device: Device, oid_map: OidMap) -> dict[str, Typed]:
        values = dict(self._panel.values(device.id))
        for point in oid_map.points():
            name = point.spec.name
            if point.register is not None and name in values:
                scale = point.multiplier / 10.0**point.typical_decimals
                modulus = point.register.modulus_watt_hours
                limit = modulus or _WIDTH.get(point.type, 2.0**32) * scale
                values[name] = min(values[name] % limit, limit - scale)
        texts = {
            "model": oid_map.file.device,
            "serial": f"TWIN-{self._host.name}",
            "firmware": "twin",
        }
        return encode(oid_map, values, texts)

    def modulus_of(self, device: str, field: str) -> float | None:
        """Where a counter rolls over, Wh; None: not known, or not here."""
        for known, oid_map in self._maps:
            for point in oid_map.points() if known.id == device else ():
                if point.spec.name == field and point.register is not None:
                    return point.register.modulus_watt_hours
        return None

    def get(self, oid: Oid) -> Asn1Item:
        """The object's value, or "no such object"."""
        return self.objects.get(oid, rfc1905.noSuchObject)

    def following(self, oid: Oid) -> tuple[Oid, Asn1Item]:
        """The next object in order, for walks."""
        objects = self.objects
        at = bisect_right(self._sorted, oid)
        if at == len(self._sorted):
            return oid, rfc1905.endOfMibView
        return self._sorted[at], objects[self._sorted[at]]


class _Transport(UdpTransport):  # type: ignore[misc]
    """A UDP port that can fall silent."""

    def __init__(self, silent: Callable[[], bool], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._silent = silent

    def datagram_received(self, datagram: bytes, transportAddress: Any) -> None:
        if not self._silent():
            super().datagram_received(datagram, transportAddress)


def _same(transport: _Transport) -> _Transport:
    return transport


class _Asked:
    """Finds the responder that a request is for."""

    def __init__(self, responders: Sequence[Responder]) -> None:
        self._responders = responders

    def of(self, engine: Any) -> Responder:
        request = engine.observer.get_execution_context("rfc3412.receiveMessage:request")
        number: int = request["transportDomain"][-1]
        return self._responders[number]


class _Get(cmdrsp.GetCommandResponder):  # type: ignore[misc]
    def handle_management_operation(
        self,
        snmpEngine: Any,
        stateReference: Any,
        contextName: Any,
        PDU: Any,
    ) -> None:
        responder = self.cbCtx.of(snmpEngine)
        answer = [(name, responder.get(tuple(name))) for name, _ in v2c.apiPDU.get_varbinds(PDU)]
        self.send_varbinds(snmpEngine, stateReference, 0, 0, answer)
        self.release_state_information(stateReference)


class _Next(cmdrsp.NextCommandResponder):  # type: ignore[misc]
    def handle_management_operation(
        self,
        snmpEngine: Any,
        stateReference: Any,
        contextName: Any,
        PDU: Any,
    ) -> None:
        responder = self.cbCtx.of(snmpEngine)
        answer = [responder.following(tuple(name)) for name, _ in v2c.apiPDU.get_varbinds(PDU)]
        self.send_varbinds(snmpEngine, stateReference, 0, 0, answer)
        self.release_state_information(stateReference)


class _Bulk(cmdrsp.BulkCommandResponder):  # type: ignore[misc]
    def handle_management_operation(
        self,
        snmpEngine: Any,
        stateReference: Any,
        contextName: Any,
        PDU: Any,
    ) -> None:
        responder = self.cbCtx.of(snmpEngine)
        once = max(int(v2c.apiBulkPDU.get_non_repeaters(PDU)), 0)
        times = min(int(v2c.apiBulkPDU.get_max_repetitions(PDU)), _MOST_REPETITIONS)
        names = [tuple(name) for name, _ in v2c.apiPDU.get_varbinds(PDU)]
        answer = [responder.following(name) for name in names[:once]]
        names = names[once:]
        for _ in range(max(times, 0)):
            row = [responder.following(name) for name in names]
            answer += row
            names = [name for name, _ in row]
        self.send_varbinds(snmpEngine, stateReference, 0, 0, answer)
        self.release_state_information(stateReference)


class SnmpServer:
    """All PDUs and probes of a site.

    Args:
        hosts: ports and who answers there.
        devices: by id.
        panel: what the devices show.
        faults: that are on; a dead PDU takes its probes along.
        credentials: what to accept.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        devices: Mapping[str, Device],
        panel: Panel,
        faults: Faults,
        credentials: Credentials | None = None,
    ) -> None:
        self._hosts = hosts
        self._responders = [Responder(host, devices, panel) for host in hosts]
        self._faults = faults
        self._credentials = credentials or Credentials()
        self._engine: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: a port is taken.
        """
        loop = asyncio.get_running_loop()
        engine = self._engine = SnmpEngine()
        for number, host in enumerate(self._hosts):
            transport = _Transport(self._silence(host), loop)
            await loop.create_datagram_endpoint(
                partial(_same, transport), local_addr=("127.0.0.1", host.port)
            )
            config.add_transport(engine, (*DOMAIN_NAME, number), transport)
        self._accept(engine)
        scope = context.SnmpContext(engine)
        asked = _Asked(self._responders)
        for kind in (_Get, _Next, _Bulk):
            kind(engine, scope, asked)

    def modulus_of(self, device: str, field: str) -> float | None:
        """Where the counter of a device rolls over, Wh; None: not known."""
        found = (responder.modulus_of(device, field) for responder in self._responders)
        return next((modulus for modulus in found if modulus is not None), None)

    def _silence(self, host: Host) -> Callable[[], bool]:
        faults = self._faults
        return lambda: any(faults.get("dead", name) for name in host.devices)

    def _accept(self, engine: Any) -> None:
        known = self._credentials
        config.add_v1_system(engine, "twin", known.community)
        config.add_vacm_user(engine, 2, "twin", "noAuthNoPriv", (1, 3, 6))
        config.add_v3_user(
            engine,
            known.user,
            config.USM_AUTH_HMAC192_SHA256,
            known.auth_key,
            config.USM_PRIV_CFB128_AES,
            known.priv_key,
        )
        config.add_vacm_user(engine, 3, known.user, "authPriv", (1, 3, 6))
        config.add_v3_user(engine, known.auth_user, config.USM_AUTH_HMAC192_SHA256, known.auth_key)
        config.add_vacm_user(engine, 3, known.auth_user, "authNoPriv", (1, 3, 6))

    async def aclose(self) -> None:
        """Stop listening."""
        if self._engine is not None:
            self._engine.close_dispatcher()
            self._engine = None
            await asyncio.sleep(0)  # lets the transports close
