# SPDX-License-Identifier: Apache-2.0
"""The `snmp:` section of an agent's configuration."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rackwatt.agents.rows import DeviceName, Host, Row, doubled, map_errors, rows_of
from rackwatt.agents.snmp.oidmap import load_oid_map, shipped_maps
from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Duration, nearest

AuthProtocol = Literal["SHA-256", "SHA-384", "SHA-512", "SHA-224", "SHA"]
PrivProtocol = Literal["AES-128", "AES-192", "AES-256"]

DEFAULT_CREDENTIALS = "public"
"""Name of the credentials that need not be written down: v2c with community `public`."""


class MissingSecret(Exception):  # noqa: N818 - the message is what matters
    """A secret's file or variable is not there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credentials(_Strict):
    """How to identify to devices. Secrets come from files or environment variables only."""

    version: Literal["v2c", "v3"] = "v2c"
    community: str | None = None
    """v2c: only `public` may stand here, as it is no secret."""
    community_file: Path | None = None
    community_env: str | None = None
    user: str | None = None
    """v3: user name; authentication and privacy are always on."""
    auth: AuthProtocol = "SHA-256"
    auth_key_file: Path | None = None
    auth_key_env: str | None = None
    priv: PrivProtocol = "AES-128"
    priv_key_file: Path | None = None
    priv_key_env: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # Checked here and not at the field, whose error message would print the secret.
        if self.community not in {None, "public"}:
            raise ValueError(
                "community: only 'public' may stand in the file; use community_file or _env"
            )
        community = [self.community, self.community_file, self.community_env]
        auth = [self.auth_key_file, self.auth_key_env]
        priv = [self.priv_key_file, self.priv_key_env]
        if self.version == "v2c":
            _one_of(community, "v2c needs one of community, community_file, community_env")
            if any([self.user, *auth, *priv]):
                raise ValueError("user and keys belong to version: v3")
            return self
        if not self.user:
            raise ValueError("v3 needs user")
        if any(community):
            raise ValueError("a community belongs to version: v2c")
        _one_of(auth, "v3 needs one of auth_key_file, auth_key_env")
        _one_of(priv, "v3 needs one of priv_key_file, priv_key_env")
        return self


def _one_of(given: Sequence[object], message: str) -> None:
    if sum(item is not None for item in given) != 1:
        raise ValueError(message)


class DeviceRow(_Strict):
    """One device."""

    device: DeviceName
    """Name on the wire, as in the site file."""
    map: str
    """Name of a shipped map, or the path of a `.yaml` file (from the configuration's folder)."""
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 161
    credentials: str = DEFAULT_CREDENTIALS
    """Name of an entry of `credentials`."""
    index: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Other values for the map's indexes: `{pdu: 2}`."""
    scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """Multiplies currents, powers and energies."""

    @field_validator("map")
    @classmethod
    def _known(cls, value: str) -> str:
        names = shipped_maps()
        if not value.endswith((".yaml", ".yml")) and value not in names:
            raise ValueError(f"unknown map ({nearest(value, names)})")
        return value


class Settings(_Strict):
    """All devices of an agent, and how to talk to them."""

    credentials: dict[str, Credentials] = Field(default_factory=dict)
    devices: tuple[DeviceRow, ...]
    timeout: Duration = Field(default=1.0, ge=0.1, le=60)
    """For one attempt."""
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    """Further attempts: a datagram may get lost."""
    max_varbinds: Annotated[int, Field(ge=1, le=100)] = 20
    """Objects in one request. A device that finds it too big gets smaller ones."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 64
    """Devices that are asked at the same time."""
    retry_first: Duration = Field(default=0.5, ge=0.05, le=60)
    """How long a silent device is left alone; doubles with each further time-out."""
    retry_cap: Duration = Field(default=30.0, ge=0.05, le=3600)

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
    rows = rows_of(document, "snmp")
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
        "'{name}' reads the same as '{other}' (line {line}): same host, port, map and index",
    )
    yield from _unknown_credentials(document, rows)
    yield from map_errors(document, rows, load_oid_map)
    yield from _unknown_indexes(document, rows)


def _objects(row: Mapping[str, Any]) -> tuple[object, ...] | None:
    index = row.get("index") or {}
    if not row.get("host") or not row.get("map") or not isinstance(index, Mapping):
        return None
    return (row["host"], row.get("port", 161), row["map"], *sorted(map(str, index.items())))


def _unknown_credentials(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    given = document.data["snmp"].get("credentials") if rows else None
    known = [DEFAULT_CREDENTIALS, *map(str, given if isinstance(given, Mapping) else ())]
    for at, row in rows:
        name = row.get("credentials", DEFAULT_CREDENTIALS)
        if isinstance(name, str) and name not in known:
            key = (*at, "credentials")
            yield document.error(key, f"no credentials '{name}'", hint=nearest(name, known))


def _unknown_indexes(document: Document, rows: Sequence[Row]) -> Iterator[ConfigError]:
    for at, row in rows:
        name, index = row.get("map"), row.get("index")
        if not isinstance(name, str) or not isinstance(index, Mapping):
            continue
        try:
            known = load_oid_map(name, Path(document.file).resolve().parent).file.index
        except ConfigErrors:
            continue  # told as an error of the map
        for word in index:
            if word not in known:
                key = (*at, "index", str(word))
                yield document.error(key, f"the map '{name}' has no such index", known)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials with their secrets, which never show in a representation."""

    version: Literal["v2c", "v3"]
    community: str = field(default="", repr=False)
    user: str = ""
    auth: AuthProtocol = "SHA-256"
    auth_key: str = field(default="", repr=False)
    priv: PrivProtocol = "AES-128"
    priv_key: str = field(default="", repr=False)


PUBLIC = Secrets("v2c", community="public")


def resolve(
    settings: Credentials, config_dir: Path, environ: Mapping[str, str] = os.environ
) -> Secrets:
    """Fetch the secrets.

    Raises:
        MissingSecret: a file or variable is absent, empty, or too short for SNMPv3.
    """
    if settings.version == "v2c":
        community = settings.community or _secret(
            settings.community_file, settings.community_env, config_dir, environ
        )
        return Secrets("v2c", community=community)
    auth = _secret(settings.auth_key_file, settings.auth_key_env, config_dir, environ)
    priv = _secret(settings.priv_key_file, settings.priv_key_env, config_dir, environ)
    if min(len(auth), len(priv)) < 8:
        raise MissingSecret("SNMPv3 pass phrases have at least 8 characters (RFC 3414)")
    return Secrets("v3", "", settings.user or "", settings.auth, auth, settings.priv, priv)


def _secret(
    path: Path | None, variable: str | None, config_dir: Path, environ: Mapping[str, str]
) -> str:
    if path is not None:
        try:
            value = (config_dir / path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise MissingSecret(f"secret file {path}: {reason}") from error
        where = f"secret file {path}"
    else:
        value = environ.get(variable or "", "").strip()
        where = f"environment variable {variable}"
    if not value:
        raise MissingSecret(f"{where} is empty or not set")
    return value
