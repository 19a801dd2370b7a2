# SPDX-License-Identifier: Apache-2.0
"""How `rackwatt report` reaches the ledger's copy in InfluxDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rackwatt.collector.roles.arguments import UsageProblem, http_url, usable_authority
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import stop
from rackwatt.collector.store.base import StoreError
from rackwatt.collector.store.http import InfluxHttp
from rackwatt.collector.store.open import TokenError, read_token
from rackwatt.reports.copybooks import CopyBooks
from rackwatt.reports.making import NothingBooked

ReadInflux = Annotated[
    str | None,
    typer.Option("--influx", metavar="URL", help="Read the copy in this InfluxDB instead."),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy is, as options say it."""

    url: str
    org: str
    bucket: str
    token_file: Path | None
    ca_file: Path | None


@contextmanager
def copy_at(place: Place, site: Site) -> Iterator[CopyBooks]:
    """Open a copy; what goes wrong becomes one line.

    Raises:
        typer.Exit: It cannot be read, or holds nothing of the period.
    """
    try:
        usable_authority("--influx-ca-file", place.ca_file)
        authority = None if place.ca_file is None else str(place.ca_file)
        url, token = http_url("--influx", place.url), read_token(place.token_file)
    except (TokenError, UsageProblem) as error:
        stop(str(error))
    with InfluxHttp(url, place.org, token, authority) as server:
        try:
            yield CopyBooks(server, place.bucket, site)
        except NothingBooked as error:
            stop(str(error))
        except StoreError as error:
            stop(str(error), 1)
