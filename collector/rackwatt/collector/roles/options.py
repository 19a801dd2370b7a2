# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and the store that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackwatt.collector.roles.arguments import http_url, usable_authority
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
InfluxCaFile = Annotated[
    Path | None,
    typer.Option(
        "--influx-ca-file", metavar="FILE", help="CA of its certificate; default: the system's."
    ),
]
BrokerUser = Annotated[
    str | None, typer.Option("--broker-user", metavar="NAME", help="MQTT user name.")
]
BrokerPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--broker-password-file", metavar="FILE", help="File that holds the MQTT password."
    ),
]
BrokerCaFile = Annotated[
    Path | None,
    typer.Option(
        "--broker-ca-file", metavar="FILE", help="CA of the broker's certificate, for mqtts://."
    ),
]
BrokerCertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--broker-certificate-file", metavar="FILE", help="Our certificate, for mqtts://."
    ),
]
BrokerKeyFile = Annotated[
    Path | None,
    typer.Option("--broker-key-file", metavar="FILE", help="The private key of our certificate."),
]
InternalTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--internal-token-file",
        metavar="FILE",
        help="File with that secret, in place of the variable.",
    ),
]
WebTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--web-token-file", metavar="FILE", help="Only who shows the token in it may read."
    ),
]
WebCertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--web-certificate-file", metavar="FILE", help="Serve HTTPS with this certificate."
    ),
]
WebKeyFile = Annotated[
    Path | None,
    typer.Option("--web-key-file", metavar="FILE", help="The private key of that certificate."),
]
SignKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--sign-key-file", metavar="FILE", help="Signs what is published: 'pki sign-key'."
    ),
]
WebNames = Annotated[
    list[str] | None,
    typer.Option("--web-name", metavar="HOST", help="A name by which it is reached; repeatable."),
]


def influx_options(
    url: str | None,
    org: str,
    bucket: str,
    token_file: Path | None,
    ca_file: Path | None = None,
) -> list[str]:
    """What collector and accountant are given; checked here, and not first in a child's log."""
    if url is None:
        return []
    read_token(token_file)
    url = http_url("--influx", url)
    options = ["--influx", url, "--influx-org", org, "--influx-rollups-bucket", bucket]
    files = {"--influx-token-file": token_file, "--influx-ca-file": ca_file}
    usable_authority("--influx-ca-file", ca_file)
    return options + file_options(files)


def file_options(files: Mapping[str, Path | None]) -> list[str]:
    """Options with the files that are named, so that a child finds them from any folder."""
    return [
        text
        for option, file in files.items()
        if file is not None
        for text in (option, str(file.resolve()))
    ]


def store_of(
    folder: Path,
    url: str | None,
    org: str,
    buckets: tuple[str, str],
    token_file: Path | None,
    ca_file: Path | None = None,
) -> "AnyStore":
    """The store that options name, not started.

    Args:
        folder: of the embedded store, where no InfluxDB is named.
        url: the InfluxDB's address.
        org: its organization.
        buckets: its buckets for readings and for the rest.
        token_file: holds its token; None: the environment does.
        ca_file: who signed its certificate; None: an authority that the system knows.

    Raises:
        UsageProblem: the address is none, or the CA's file holds no certificate.
        TokenError: there is no token.
    """
    from rackwatt.collector.store.open import EmbeddedSpec, InfluxSpec, open_store

    if url is None:
        return open_store(EmbeddedSpec(folder))
    usable_authority("--influx-ca-file", ca_file)
    address = http_url("--influx", url)
    spec = InfluxSpec(address, org, *buckets, token_file=token_file, ca_file=ca_file)
    return open_store(spec)
