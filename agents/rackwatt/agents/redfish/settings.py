# SPDX-License-Identifier: Apache-2.0
"""The `redfish:` section of an agent's configuration."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rackwatt.agents.redfish.mapfile import load_redfish_map, shipped_maps
from rackwatt.agents.rows import DeviceName, Row, doubled, map_errors, rows_of
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Duration, nearest

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class MissingSecret(Exception):  # noqa: N818 - the message is what matters
    """A secret's file or variable is not there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credentials(_Strict):
    """How to identify to services. The password comes from a file or an environment variable."""

    user: str = Field(min_length=1)
    """An account with the role ReadOnly is enough."""
    password_file: Path | None = None
    """Read anew at each login."""
    password_env: str | None = None
    login: Literal["session", "basic"] = "session"
    """`basic` for services without sessions."""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("needs one of password_file, password_env")
        return self


class DeviceRow(_Strict):
    """One service."""

    device: DeviceName
    """Names of its devices on the wire begin with it, as the map says."""
    map: str
    """Name of a shipped map, or the path of a `.yaml` file (from the configuration's folder)."""
    url: str
    """`https://host[:port]`."""
    credentials: str | None = None
    """Name of an entry of `credentials`; none: the service asks for no login."""
    with_parts: tuple[str, ...] = Field(default=(), alias="with")
    """Optional parts of the map."""
    ca_file: Path | None = None
    """Who signed the service's certificate, or that certificate itself; default: the system's."""
    check_name: bool = True
    """Whether the certificate must be for the host of `url`: false for the certificates that
    services make themselves, together with `ca_file`."""

    @field_validator("map")
    @classmethod
    def _known(cls, value: str) -> str:
        names = shipped_maps()
        if not value.endswith((".yaml", ".yml")) and value not in names:
            raise ValueError(f"unknown map ({nearest(value, names)})")
        return value

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError("a service's address is https://host or https://host:port")
        if parts.username or parts.password:
            raise ValueError("no user or password in the URL: use credentials")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("write it without /redfish/v1 and what follows: that is added")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        parts = urlsplit(self.url)
        plain = parts.scheme == "http"
        if plain and self.credentials is not None and parts.hostname not in _LOOPBACK:
            raise ValueError("a password would cross the network in the clear: write https://")
        if plain and self.ca_file is not None:
            raise ValueError("ca_file belongs to https://")
        if not self.check_name and self.ca_file is None:
            raise ValueError("check_name: false needs ca_file: the service's own certificate")
        return self


class Settings(_Strict):
    """All services of an agent, and how to talk to them."""

    credentials: dict[str, Credentials] = Field(default_factory=dict)
    devices: tuple[DeviceRow, ...]
    timeout: Duration = Field(default=3.0, ge=0.1, le=120)
    """For one request."""
    parallel: Annotated[int, Field(ge=1, le=32)] = 4
    """Requests to one service at the same time."""
    every: dict[str, Annotated[Duration, Field(ge=0.1, le=3600)]] = Field(default_factory=dict)
    """How often parts are read, by name; default: as their map says."""
    discover_every: Duration = Field(default=600.0, ge=1, le=86400)
    """How often it is looked what the service has."""
    events: Literal["stream", "off"] = "stream"
    """`stream`: a service's events are heard as they happen, where it offers that."""
    retry_first: Duration = Field(default=1.0, ge=0.05, le=60)
    """How long a silent service is left alone; doubles with each further failure."""
    retry_cap: Duration = Field(default=30.0, ge=0.05, le=3600)
    login_retry: Duration = Field(default=60.0, ge=0.05, le=3600)
    """Wait after a refused login; doubles up to 16 times that: services lock accounts."""
    retry_after_cap: Duration = Field(default=120.0, ge=0.05, le=3600)
    """The longest wait that a service may ask for."""

    @model_validator(mode="after")
    def _caps(self) -> Self:
        # Not a minimal length: where every row is wrong, pydantic would also call the list empty.
        if not self.devices:
            raise ValueError("devices: at least one is needed")
        if self.retry_cap < self.retry_first:
            raise ValueError("retry_cap must not be less than retry_first")
        return self


def misfits(document: Document) -> Iterator[ConfigError]:
    """What rows show only together, with the credentials, or with their map files."""
    rows = rows_of(document, "redfish")
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
        lambda row: (row["url"], row.get("map")) if isinstance(row.get("url"), str) else None,
        "'{name}' reads the same as '{other}' (line {line}): same url and map",
    )
    yield from _unknown_credentials(document, rows)
    yield from map_errors(document, rows, load_redfish_map)
    yield from _unknown_parts(document, rows)
    yield from _missing_files(document, rows)


def _unknown_credentials(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    given = document.data["redfish"].get("credentials") if rows else None
    known = [str(name) for name in given] if isinstance(given, Mapping) else []
    for at, row in rows:
        name = row.get("credentials")
        if isinstance(name, str) and name not in known:
            hint = nearest(name, known) if known else "add it under redfish.credentials"
            yield document.error((*at, "credentials"), f"no credentials '{name}'", hint=hint)


def _unknown_parts(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    """Parts that no map has, in `with` and in `every`."""
    known: set[str] = set()
    whole = True
    for at, row in rows:
        name, wanted = row.get("map"), row.get("with")
        try:
            found = load_redfish_map(str(name), Path(document.file).resolve().parent)
        except ConfigErrors:
            whole = False  # told as an error of the map
            continue
        known |= set(found.file.parts)
        for index, part in enumerate(wanted if isinstance(wanted, list) else ()):
            if part not in found.optional:
                key = (*at, "with", index)
                text = f"'{part}' is no optional part of the map '{name}'"
                hint = nearest(str(part), found.optional) if found.optional else "it has none"
                yield document.error(key, text, hint=hint)
    every = document.data["redfish"].get("every") if rows else None
    for part in every if whole and isinstance(every, Mapping) else ():
        if part not in known:
            key = ("redfish", "every", str(part))
            yield document.error(key, "no part of that name in the maps", sorted(known))


def _missing_files(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    folder = Path(document.file).resolve().parent
    for at, row in rows:
        name: Any = row.get("ca_file")
        if isinstance(name, str) and not (folder / name).is_file():
            yield document.error((*at, "ca_file"), f"there is no file {folder / name}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A user and a password, which never shows in a representation."""

    user: str
    password: str = field(repr=False)


def resolve(
    settings: Credentials, config_dir: Path, environ: Mapping[str, str] = os.environ
) -> Secret:
    """Fetch the password.

    Raises:
        MissingSecret: the file or variable is absent or empty.
    """
    if settings.password_file is not None:
        where = f"secret file {settings.password_file}"
        try:
            text = (config_dir / settings.password_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise MissingSecret(f"{where}: {reason}") from error
    else:
        where = f"environment variable {settings.password_env}"
        text = environ.get(settings.password_env or "", "")
    password = text.strip("\r\n")
    if not password:
        raise MissingSecret(f"{where} is empty or not set")
    return Secret(settings.user, password)
