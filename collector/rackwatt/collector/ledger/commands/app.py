# SPDX-License-Identifier: Apache-2.0
"""The command group itself."""

from typing import Final

import typer
from typer.core import TyperGroup

from rackwatt.collector.helptext import NARROW

_ORDER: Final = (
    ("show", "import", "verify", "anchor", "basis"),
    ("restate", "release", "reconcile", "certificates"),
)
"""Commands that look, then those that decide or state."""


class _InOrder(TyperGroup):
    """Lists commands as people need them, not as modules are imported."""

    def list_commands(self, ctx: object) -> list[str]:
        """Names of all commands; unknown ones last."""
        order = [name for group in _ORDER for name in group]
        known = {name: number for number, name in enumerate(order)}
        return sorted(self.commands, key=lambda name: known.get(name, len(order)))


ledger_app = typer.Typer(
    cls=_InOrder,
    help="The book of record: show, prove, correct, import.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=NARROW,
)
