# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and the store that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackwatt.collector.roles.arguments import http_url
from rackwatt.collector.store.open import read_token

if TYPE_CHECKING:
    from rackwatt.collector.store.open import AnyStore

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every detail.")]
SiteFile = Annotated[Path, typer.Option("--site", metavar="FILE", help="The site file.")]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
InfluxUrl = Annotated[
    str | None,
    typer.Option(
        "--influx", metavar="URL", help="Store in this InfluxDB; default: the embedded store."
    ),
]
InfluxOrg = Annotated[str, typer.Option("--influx-org", metavar="NAME", help="Its organization.")]
InfluxBucket = Annotated[
    str, typer.Option("--influx-bucket", metavar="NAME", help="Its bucket for readings.")
]
InfluxRollups = Annotated[
    str,
    typer.Option(
        "--influx-rollups-bucket",
        metavar="NAME",
        help="Its bucket for rollups and the ledger's copy.",
    ),
]
InfluxTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--influx-token-file",
        metavar="FILE",
        help="File that holds its token; without it RACKWATT_INFLUX_TOKEN does.",
    ),
]


def influx_options(url: str | None, org: str, bucket: str, token_file: Path | None) -> list[str]:
    """What collector and accountant are given; checked here, and not first in a child's log."""
    if url is None:
        return []
    read_token(token_file)
    url = http_url("--influx", url)
    options = ["--influx", url, "--influx-org", org, "--influx-rollups-bucket", bucket]
    if token_file is not None:
        options += ["--influx-token-file", str(token_file.resolve())]
    return options


def store_of(
    folder: Path,
    url: str | None,
    org: str,
    buckets: tuple[str, str],
    token_file: Path | None,
) -> "AnyStore":
    """The store that options name, not started.

    Args:
        folder: of the embedded store, where no InfluxDB is named.
        url: the InfluxDB's address.
        org: its organization.
        buckets: its buckets for readings and for the rest.
        token_file: holds its token; None: the environment does.

    Raises:
        UsageProblem: the address is none.
        TokenError: there is no token.
    """
    from rackwatt.collector.store.open import EmbeddedSpec, InfluxSpec, open_store

    if url is None:
        return open_store(EmbeddedSpec(folder))
    spec = InfluxSpec(http_url("--influx", url), org, *buckets, token_file=token_file)
    return open_store(spec)
