# SPDX-License-Identifier: Apache-2.0
"""The adapter to pysnmp: the only module that imports it."""

import asyncio
import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from rackwatt.agents.snmp.oidmap import Answer
from rackwatt.agents.snmp.settings import Secrets
from rackwatt.wire.readings import Quality

_TOO_BIG: Final = 1
_ABSENT: Final = frozenset({"NoSuchObject", "NoSuchInstance", "EndOfMibView"})
_AUTH: Final = MappingProxyType(
    {
        "SHA": "USM_AUTH_HMAC96_SHA",
        "SHA-224": "USM_AUTH_HMAC128_SHA224",
        "SHA-256": "USM_AUTH_HMAC192_SHA256",
        "SHA-384": "USM_AUTH_HMAC256_SHA384",
        "SHA-512": "USM_AUTH_HMAC384_SHA512",
    }
)
_PRIV: Final = MappingProxyType(
    {
        "AES-128": "USM_PRIV_CFB128_AES",
        "AES-192": "USM_PRIV_CFB192_AES",
        "AES-256": "USM_PRIV_CFB256_AES",
    }
)


class GetFailed(Exception):  # noqa: N818 - it reads as a sentence where it is caught
    """A request brought no answer.

    Attributes:
        quality: what becomes of the values.
        status: SNMP error status of the answer; 0 if there was none, and then nothing of the
            device can be read.
    """

    def __init__(self, quality: Quality, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.quality = quality
        self.status = status

    @property
    def too_big(self) -> bool:
        """The device asks for smaller requests."""
        return self.status == _TOO_BIG


class Getter(Protocol):
    """SNMP GET and nothing else."""

    async def get(self, host: str, port: int, oids: Sequence[str]) -> Mapping[str, Answer]:
        """The values of some objects, in one request.

        Returns:
            OID to value; None for an object that the device does not have.

        Raises:
            GetFailed: no answer, or an error instead of one.
        """

    async def aclose(self) -> None:
        """Close the socket; may be called more than once."""


class PysnmpGetter:
    """One SNMP engine with one socket, for all devices of the same credentials.

    An engine knows a v3 user by name only: two credentials with one user name and different keys
    must not share an engine, so each credentials entry has its own.

    Args:
        secrets: who we are.
        timeout: of one attempt, in seconds.
        retries: further attempts.
    """

    def __init__(self, secrets: Secrets, timeout: float, retries: int) -> None:
        # pysnmp carries no type information: imported by name, it is Any.
        self._api: Any = importlib.import_module("pysnmp.hlapi.v3arch.asyncio")
        self._engine: Any = self._api.SnmpEngine()
        self._auth: Any = self._authentication(secrets)
        self._context: Any = self._api.ContextData()
        self._timeout = timeout
        self._retries = retries
        self._targets: dict[tuple[str, int], Any] = {}
        self._objects: dict[str, Any] = {}
        # Discovery and time synchronisation of v3 take requests of their own, and a tick of the
        # library's timer is 0.1 s. Were its timer ever to die, this ends the wait.
        self._deadline = (timeout + 0.5) * (retries + 1) * (3 if secrets.version == "v3" else 1)

    def _authentication(self, secrets: Secrets) -> Any:
        if secrets.version == "v2c":
            return self._api.CommunityData(secrets.community, mpModel=1)
        return self._api.UsmUserData(
            secrets.user,
            authKey=secrets.auth_key,
            privKey=secrets.priv_key,
            authProtocol=getattr(self._api, _AUTH[secrets.auth]),
            privProtocol=getattr(self._api, _PRIV[secrets.priv]),
        )

    async def get(self, host: str, port: int, oids: Sequence[str]) -> Mapping[str, Answer]:
        """See `Getter.get`."""
        api = self._api
        target = await self._target(host, port)
        wanted = [self._object(oid) for oid in oids]
        try:
            async with asyncio.timeout(self._deadline):
                failure, status, index, pairs = await api.get_cmd(
                    self._engine, self._auth, target, self._context, *wanted, lookupMib=False
                )
        except TimeoutError as error:
            raise GetFailed(Quality.TIMEOUT, f"{host}:{port}: no answer") from error
        if failure is not None:
            silent = type(failure).__name__ == "RequestTimedOut"
            quality = Quality.TIMEOUT if silent else Quality.EXCEPTION
            raise GetFailed(quality, f"{host}:{port}: {failure}")
        if int(status):
            message = f"{host}:{port}: {status.prettyPrint()} at {int(index)}"
            raise GetFailed(Quality.EXCEPTION, message, int(status))
        answers = {str(oid): _answer(value) for oid, value in pairs}
        return {oid: answers[oid] for oid in oids if oid in answers}

    def _object(self, oid: str) -> Any:
        # Resolving a name costs more than the request around it: each is made once.
        if oid not in self._objects:
            self._objects[oid] = self._api.ObjectType(self._api.ObjectIdentity(oid))
        return self._objects[oid]

    async def _target(self, host: str, port: int) -> Any:
        key = (host, port)
        if key not in self._targets:
            kind = self._api.Udp6TransportTarget if ":" in host else self._api.UdpTransportTarget
            error_type = importlib.import_module("pysnmp.error").PySnmpError
            try:
                self._targets[key] = await kind.create(
                    key, timeout=self._timeout, retries=self._retries
                )
            except (error_type, OSError) as error:
                raise GetFailed(Quality.TIMEOUT, f"{host}: unknown host") from error
        return self._targets[key]

    async def aclose(self) -> None:
        """See `Getter.aclose`."""
        for socket in self._sockets():
            socket.close()
        # An answer that came just then is on its way through the loop: an engine that is closed
        # under it would complain into the log.
        for _ in range(2):
            await asyncio.sleep(0)
        self._engine.close_dispatcher()

    def _sockets(self) -> Iterator[Any]:
        dispatcher = self._engine.transport_dispatcher
        if dispatcher is None:
            return
        carrier_error = importlib.import_module("pysnmp.carrier.error").CarrierError
        for family in ("udp", "udp6"):
            domain = importlib.import_module(f"pysnmp.carrier.asyncio.dgram.{family}").DOMAIN_NAME
            with contextlib.suppress(carrier_error):  # not in use
                socket = dispatcher.get_transport(domain).transport
                if socket is not None:
                    yield socket


def _answer(value: Any) -> Answer:
    univ: Any = importlib.import_module("pyasn1.type.univ")
    if type(value).__name__ in _ABSENT:
        return None
    if isinstance(value, univ.Integer):
        return int(value)
    if isinstance(value, univ.OctetString):
        return bytes(value).decode("utf-8", "replace").strip("\0 ")
    return str(value.prettyPrint())
