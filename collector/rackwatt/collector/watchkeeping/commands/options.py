# SPDX-License-Identifier: Apache-2.0
"""Options that name Alertmanager and the page."""

from pathlib import Path
from typing import Annotated

import typer

Alertmanagers = Annotated[
    list[str] | None,
    typer.Option(
        "--alertmanager",
        metavar="URL",
        envvar="RACKWATT_ALERTMANAGER",
        show_envvar=True,
        help="http://host:9093; each of a cluster.",
    ),
]
AlertmanagerToken = Annotated[
    Path | None,
    typer.Option("--alertmanager-token-file", metavar="FILE", help="Token that it wants to see."),
]
AlertmanagerCa = Annotated[
    Path | None,
    typer.Option("--alertmanager-ca-file", metavar="FILE", help="CA of its certificate."),
]
PageUrl = Annotated[
    str, typer.Option("--page", metavar="URL", help="The accountant's page, for /api/chain.")
]
PageToken = Annotated[
    Path | None,
    typer.Option("--page-token-file", metavar="FILE", help="The page's --web-token-file."),
]
PageCa = Annotated[
    Path | None, typer.Option("--page-ca-file", metavar="FILE", help="CA of its certificate.")
]
