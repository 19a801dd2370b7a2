# SPDX-License-Identifier: Apache-2.0
"""The `bacnet:` section of an agent's configuration."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rackwatt.agents.bacnet.objectmap import load_object_map, shipped_maps
from rackwatt.agents.rows import DeviceName, Host, Row, doubled, map_errors, rows_of
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Duration, nearest

_LISTEN: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}:([0-9]{1,5})")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceRow(_Strict):
    """One device of ours: some objects of one BACnet device."""

    device: DeviceName
    """Name on the wire, as in the site file."""
    map: str
    """Name of a shipped map, or the path of a `.yaml` file (from the configuration's folder)."""
    host: Host
    """The BACnet device, or the router to its network."""
    port: Annotated[int, Field(ge=1, le=65535)] = 47808
    instance: Annotated[int, Field(ge=0, le=4194302)] | None = None
    """Its device instance: it is looked for, and nothing else is read in its place."""
    network: Annotated[int, Field(ge=1, le=65534)] | None = None
    """Number of the network behind the router."""
    mac: Annotated[int, Field(ge=0, le=254)] | None = None
    """Its MS/TP address on that network."""
    index: dict[str, Annotated[int, Field(ge=0, le=4194302)]] = Field(default_factory=dict)
    """Object numbers for the map's `{names}`: `{supply: 12}`."""

    @field_validator("map")
    @classmethod
    def _known(cls, value: str) -> str:
        names = shipped_maps()
        if not value.endswith((".yaml", ".yml")) and value not in names:
            raise ValueError(f"unknown map ({nearest(value, names)})")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.mac is not None and self.network is None:
            raise ValueError("mac: needs `network`, the number of the network behind the router")
        if self.network is not None and self.mac is None and self.instance is None:
            raise ValueError("network: needs `mac` or `instance`, to tell which device on it")
        return self

    @property
    def place(self) -> tuple[str, int, int | None, int | None, int | None]:
        """What tells one BACnet device from another."""
        return (self.host, self.port, self.network, self.mac, self.instance)


class Settings(_Strict):
    """All devices of an agent, and how to talk to them."""

    devices: tuple[DeviceRow, ...]
    listen: str = "0.0.0.0:0"
    """Address and port that answers come to. `ADDRESS:47808` also hears devices that answer a
    Who-Is by broadcast only."""
    every: Duration = Field(default=5.0, ge=0.5, le=3600)
    """How often a device is read."""
    timeout: Duration = Field(default=3.0, ge=0.1, le=60)
    """For one attempt."""
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    """Further attempts: a datagram may get lost."""
    max_properties: Annotated[int, Field(ge=1, le=100)] = 20
    """Properties in one request. A device that finds it too big gets smaller ones."""
    concurrency: Annotated[int, Field(ge=1, le=200)] = 16
    """Requests that are open at the same time; one device gets one at a time."""
    retry_first: Duration = Field(default=1.0, ge=0.05, le=60)
    """How long a silent device is left alone; doubles with each further time-out."""
    retry_cap: Duration = Field(default=60.0, ge=0.05, le=3600)

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        match = _LISTEN.fullmatch(value)
        if match is None or int(match[2]) > 65535:
            raise ValueError("expects an IPv4 address and a port, like 192.0.2.5:47808")
        return value

    @model_validator(mode="after")
    def _caps(self) -> Self:
        # Not a minimal length: where every row is wrong, pydantic would also call the list empty.
        if not self.devices:
            raise ValueError("devices: at least one is needed")
        if self.retry_cap < self.retry_first:
            raise ValueError("retry_cap must not be less than retry_first")
        return self


def misfits(document: Document) -> Iterator[ConfigError]:
    """What rows show only together, or with their map files."""
    rows = rows_of(document, "bacnet")
    yield from doubled(
        document,
        rows,
        "device",
        lambda row: row.get("device"),
        "device '{name}' stands twice: see line {line}",
    )
    yield from doubled(
        document,
        rows,
        "device",
        _objects,
        "'{name}' reads the same as '{other}' (line {line}): same place, map and index",
    )
    yield from map_errors(document, rows, load_object_map)
    yield from _unknown_indexes(document, rows)


def _objects(row: Mapping[str, Any]) -> tuple[object, ...] | None:
    index = row.get("index") or {}
    if not row.get("host") or not row.get("map") or not isinstance(index, Mapping):
        return None
    place = [row.get(key) for key in ("host", "network", "mac", "instance", "map")]
    return (row.get("port", 47808), *place, *sorted(map(str, index.items())))


def _unknown_indexes(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    for at, row in rows:
        name, index = row.get("map"), row.get("index")
        if not isinstance(name, str) or not isinstance(index, Mapping):
            continue
        try:
            known = load_object_map(name, Path(document.file).resolve().parent).file.index
        except ConfigErrors:
            continue  # told as an error of the map
        for word in index:
            if word not in known:
                key = (*at, "index", str(word))
                yield document.error(key, f"the map '{name}' has no such index", known)
