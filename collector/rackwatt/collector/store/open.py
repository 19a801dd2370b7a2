# SPDX-License-Identifier: Apache-2.0
"""Which store: the embedded one by default, InfluxDB when one is named."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from rackwatt.collector.store.embedded import KEEP_SECONDS, MAX_BYTES, EmbeddedStore
from rackwatt.wire.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from rackwatt.collector.store.influx import InfluxStore

TOKEN_VARIABLE: Final = "RACKWATT_INFLUX_TOKEN"  # noqa: S105 - the name, not the token
DEFAULT_ORG: Final = "rackwatt"
RAW_BUCKET: Final = "rackwatt_raw"
ROLLUPS_BUCKET: Final = "rackwatt_rollups"


AnyStore: TypeAlias = "EmbeddedStore | InfluxStore"


class TokenError(ValueError):
    """There is no token, or its file does not do."""


@dataclass(frozen=True, slots=True)
class EmbeddedSpec:
    """The embedded store."""

    directory: Path
    keep_seconds: float = KEEP_SECONDS
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class InfluxSpec:
    """An InfluxDB."""

    url: str
    org: str = DEFAULT_ORG
    bucket: str = RAW_BUCKET
    rollups_bucket: str | None = None
    token_file: Path | None = None
    """None: the token stands in the environment, in RACKWATT_INFLUX_TOKEN."""
    timeout_seconds: float = 10.0
    ca_file: Path | None = None
    gzip: bool = False


def read_token(file: Path | None, environment: Mapping[str, str] | None = None) -> str:
    """The token for InfluxDB, from a file or from the environment, never from the command line.

    Raises:
        TokenError: neither has one.
    """
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise TokenError(f"token file {file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TokenError(f"token file {file} cannot be read: is not text in UTF-8") from error
        if not token or any(letter.isspace() for letter in token):
            raise TokenError(f"token file {file} must hold one token and nothing else")
        return token
    token = (os.environ if environment is None else environment).get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise TokenError(f"no token for InfluxDB: name its file, or set {TOKEN_VARIABLE}")
    return token


def open_store(spec: EmbeddedSpec | InfluxSpec, clock: Clock = SYSTEM_CLOCK) -> AnyStore:
    """The store that `spec` names, not started.

    Raises:
        TokenError: an InfluxDB is named, and no token for it.
    """
    if isinstance(spec, EmbeddedSpec):
        return EmbeddedStore(
            spec.directory, keep_seconds=spec.keep_seconds, max_bytes=spec.max_bytes, clock=clock
        )
    # Only here: its client takes a third of a second to import.
    from rackwatt.collector.store.influx import InfluxStore

    return InfluxStore(
        url=spec.url,
        org=spec.org,
        bucket=spec.bucket,
        rollups_bucket=spec.rollups_bucket,
        token=read_token(spec.token_file),
        timeout_seconds=spec.timeout_seconds,
        ca_file=None if spec.ca_file is None else str(spec.ca_file),
        gzip=spec.gzip,
    )
