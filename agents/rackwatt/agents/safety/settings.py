# SPDX-License-Identifier: Apache-2.0
"""The `safety:` section of an agent's file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rackwatt.agents.rows import DeviceName, doubled, rows_of
from rackwatt.agents.safety.limits import RULES, Celsius, Limits, RuleName
from rackwatt.agents.safety.rules import Loop
from rackwatt.wire.config import ConfigError, Document, Duration, nearest, parse_duration

RESEND_LONGEST: Final = 100.0
"""A third of Alertmanager's `resolve_timeout` of 5 min."""
_SLOWEST: Final = 1.0
_RETRY_CAP: Final = 5.0
_FILES: Final = ("bearer_token_file", "password_file", "ca_file")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertmanagerSettings(_Strict):
    """One Alertmanager; of a cluster, each is named."""

    url: str
    """`http(s)://host:port`, with the path before `/api/v2` if there is one."""
    bearer_token_file: Path | None = None
    """Read anew at each message."""
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Authority that signed its certificate; default: the system's."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an Alertmanager's address is http://host:port or https://host:port")
        if parts.username or parts.password:
            raise ValueError("no user or password in the URL: use username and password_file")
        if parts.query or parts.fragment or parts.path.rstrip("/").endswith(("/v1", "/v2")):
            raise ValueError("write it without /api/v2 and what follows: that is added")
        if parts.port == 0:
            raise ValueError("the port must be a number from 1 to 65535")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _way_in(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together")
        if self.username is not None and self.bearer_token_file is not None:
            raise ValueError("bearer_token_file, or username with password_file: not both")
        secret = self.username is not None or self.bearer_token_file is not None
        parts = urlsplit(self.url)
        if secret and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("a secret over http:// can be read on the way: use https://")
        return self


class DewPointSettings(_Strict):
    """Where the dew point comes from: devices of this agent, or a stated one."""

    devices: tuple[DeviceName, ...] = ()
    """Climate devices; the highest dew point of them counts."""
    celsius: Celsius | None = None
    """A stated dew point, where none is measured: the highest that the room is built for."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.devices) == (self.celsius is not None):
            raise ValueError("name devices, or state celsius: one of the two")
        return self


class LoopSettings(_Strict):
    """One coolant loop."""

    device: DeviceName
    """As in the driver's section."""
    rules: tuple[RuleName, ...] = RULES
    """What is watched; default: everything."""
    set_point_celsius: Celsius | None = None
    """Of the supply; rule supply_temperature."""
    pumps_installed: Annotated[int, Field(ge=1, le=100)] | None = None
    pumps_needed: Annotated[int, Field(ge=1, le=100)] | None = None
    """N; rules pumps and pump_redundancy."""
    dew_point: DewPointSettings | None = None
    operator_reset: tuple[RuleName, ...] = ("leak",)
    """Rules whose alarms end only when an operator has looked."""
    limits: Limits = Limits()
    """Where they differ from those of all loops."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        rules = set(self.rules)
        if not rules:
            raise ValueError("rules: at least one is needed")
        lacking = [
            f"{rule} needs {key}"
            for rule, key, value in (
                ("supply_temperature", "set_point_celsius", self.set_point_celsius),
                ("pumps", "pumps_needed", self.pumps_needed),
                ("pump_redundancy", "pumps_needed and pumps_installed", self.pumps_needed),
                ("dew_point", "dew_point: {devices: […]} or {celsius: …}", self.dew_point),
            )
            if rule in rules and value is None
        ]
        if lacking:
            raise ValueError("; ".join(lacking) + "; or list under rules what can be watched")
        needed, installed = self.pumps_needed, self.pumps_installed
        if "pump_redundancy" in rules and needed is not None:
            if installed is None:
                raise ValueError("pump_redundancy needs pumps_installed too")
            if installed <= needed:
                raise ValueError(
                    f"{installed} pumps installed and {needed} needed: there is no N+1 to watch; "
                    "list the other rules under rules"
                )
        return self


class SafetySettings(_Strict):
    """Rules that are watched in the agent, and whom it tells without broker or scrape."""

    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    """All are told. None: alarms go the way of events only."""
    loops: tuple[LoopSettings, ...]
    limits: Limits = Limits()
    """Of all loops."""
    state: Path | None = None
    """Where alarms that are on are kept; default: NAME.safety.json beside the outbox."""
    resend_every: Duration = Field(default=30.0, ge=1, le=RESEND_LONGEST)
    ends_after: Duration = Field(default=86400.0, ge=600, le=30 * 86400)
    """An alarm of an agent that fell silent stays on so long in Alertmanager."""
    timeout: Duration = Field(default=2.0, ge=0.1, le=10)
    """Of one message to one Alertmanager, from connecting to its answer."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.loops:
            raise ValueError("loops: at least one is needed")
        return self

    def watched(self) -> list[Loop]:
        """The loops, each with its own limits over those of all."""
        return [
            Loop(
                device=row.device,
                limits=_merged(self.limits, row.limits),
                rules=tuple(name for name in RULES if name in row.rules),
                set_point_celsius=row.set_point_celsius,
                pumps_needed=row.pumps_needed,
                dew_point_devices=row.dew_point.devices if row.dew_point else (),
                dew_point_celsius=row.dew_point.celsius if row.dew_point else None,
                operator_reset=frozenset(row.operator_reset),
            )
            for row in self.loops
        ]


def _merged(common: Limits, own: Limits) -> Limits:
    """Both together, checked together."""
    return Limits.model_validate(common.with_(own).model_dump())


def misfits(document: Document) -> Iterator[ConfigError]:
    """What no single key of the section shows."""
    section = document.data.get("safety")
    if not isinstance(section, Mapping):
        return
    yield from _too_slow(document)
    yield from _files(document, section)
    loops = (
        [
            (("safety", "loops", index), row)
            for index, row in enumerate(section.get("loops") or ())
            if isinstance(row, Mapping)
        ]
        if isinstance(section.get("loops"), list)
        else []
    )
    yield from doubled(
        document, loops, "device", lambda row: row.get("device"),
        "'{name}' stands twice: see line {line}",
    )  # fmt: skip
    known = _devices(document)
    for at, row in loops:
        yield from _unknown_devices(document, at, row, known)
        yield from _limits_together(document, at, section.get("limits"), row.get("limits"))


def _too_slow(document: Document) -> Iterator[ConfigError]:
    agent = document.data.get("agent")
    every = agent.get("sample_every", 1.0) if isinstance(agent, Mapping) else 1.0
    if (seconds := _seconds(every)) is not None and seconds > _SLOWEST:
        text = "with safety, devices are read at least every second: sample_every: 1s or less"
        yield document.error(("agent", "sample_every"), text)
    source = str(document.data.get("source"))
    driver = document.data.get(source)
    cap = driver.get("retry_cap", 30.0) if isinstance(driver, Mapping) else 0.0
    seconds = _seconds(cap)
    if source in {"modbus", "snmp", "redfish"} and seconds is not None and seconds > _RETRY_CAP:
        text = f"with safety, a device that was gone must be seen again soon, not in {seconds:g} s"
        yield document.error((source, "retry_cap"), text, hint="write retry_cap: 5s")


def _seconds(value: object) -> float | None:
    try:
        found = parse_duration(value)
    except ValueError:
        return None  # said by the model
    return float(found) if isinstance(found, int | float) else None


def _files(document: Document, section: Mapping[str, Any]) -> Iterator[ConfigError]:
    folder = Path(document.file).resolve().parent
    rows = section.get("alertmanagers")
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        for key in _FILES if isinstance(row, Mapping) else ():
            name = row.get(key)
            if isinstance(name, str) and not (folder / name).is_file():
                at = ("safety", "alertmanagers", index, key)
                yield document.error(at, f"there is no file {folder / name}")


def _devices(document: Document) -> set[str]:
    if document.data.get("source") == "redfish":
        return set()  # one service has many devices, named by its map
    rows = rows_of(document, str(document.data.get("source")))
    names = {row.get("device", row.get("name")) for _, row in rows}
    return {name for name in names if isinstance(name, str)}


def _unknown_devices(
    document: Document, at: tuple[str | int, ...], row: Mapping[str, Any], known: set[str]
) -> Iterator[ConfigError]:
    """Devices that the driver's section does not list; `NAME/…` belongs to NAME."""
    dew = row.get("dew_point")
    listed = dew.get("devices") if isinstance(dew, Mapping) else None
    named: list[tuple[tuple[str | int, ...], object]] = [((*at, "device"), row.get("device"))]
    for index, name in enumerate(listed if isinstance(listed, list) else ()):
        named.append(((*at, "dew_point", "devices", index), name))
    for key, name in named:
        if known and isinstance(name, str) and name.partition("/")[0] not in known:
            yield document.error(
                key, f"this agent reads no device {name!r}", hint=nearest(name, known)
            )


def _limits_together(
    document: Document, at: tuple[str | int, ...], common: object, own: object
) -> Iterator[ConfigError]:
    """Limits that are right alone, and not together."""
    if not isinstance(common, Mapping) or not isinstance(own, Mapping):
        return
    try:
        both = Limits.model_validate(common), Limits.model_validate(own)
    except ValidationError:
        return  # said where it stands
    try:
        _merged(*both)
    except ValidationError as wrong:
        text = str(wrong.errors()[0]["msg"]).removeprefix("Value error, ")
        yield document.error((*at, "limits"), f"with safety.limits: {text}")
