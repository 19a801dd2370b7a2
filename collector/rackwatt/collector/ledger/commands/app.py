# SPDX-License-Identifier: Apache-2.0
"""The command group itself."""

import typer

from rackwatt.collector.helptext import NARROW

ledger_app = typer.Typer(
    help="The book of record: look into it, prove it, correct it, or book a site's history.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)
