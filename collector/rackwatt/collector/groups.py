# SPDX-License-Identifier: Apache-2.0
"""Command groups that are imported when they are asked for: each is a quarter of the start."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

import typer
from typer.core import TyperGroup

OWN: Final = {
    "site": "rackwatt.collector.site.cli:site_app",
    "store": "rackwatt.collector.store.cli:store_app",
    "ledger": "rackwatt.collector.ledger.commands:ledger_app",
    "pki": "rackwatt.collector.pki.cli:pki_app",
    "deadletter": "rackwatt.collector.ingest.commands:letters_app",
    "backup": "rackwatt.collector.backup.commands:backup_app",
    "restore": "rackwatt.collector.backup.commands:restore_app",
    "hall": "rackwatt.collector.ingest.hall_commands:hall_app",
    "meter": "rackwatt.collector.meters.commands:meter_app",
    "maintenance": "rackwatt.collector.watchkeeping.commands.maintenance:maintenance_app",
    "shift": "rackwatt.collector.watchkeeping.commands.shift:shift_app",
    "ack": "rackwatt.collector.watchkeeping.commands.ack:ack_app",
    "handover": "rackwatt.collector.watchkeeping.commands.handover:handover_app",
    "install-unit": "rackwatt.collector.roles.unit:unit_app",
}
"""The collector's groups: where each stands."""
SINGLE: Final = frozenset({"ack", "backup", "handover", "install-unit", "restore"})
"""Of these, applications with one command, which is it."""
ROOMS: Final = "rackwatt.commands"
"""Entry points: the groups of other rooms."""


class Groups(TyperGroup):
    """Commands that are there, and groups that come when they are named, or all are listed."""

    _complete = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command or a group; what nobody knows is looked for everywhere, for the hint."""
        if cmd_name not in self.commands:
            self._look_up(cmd_name)
        if cmd_name not in self.commands:
            self.complete()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """All of them."""
        self.complete()
        return super().list_commands(ctx)

    def complete(self) -> None:
        """Have all groups, those of other rooms too; one whose extra is missing stays away."""
        if self._complete:
            return
        self._complete = True
        first = [name for name in self.commands if name not in OWN]
        for name in (*OWN, *entry_points(group=ROOMS).names):
            if name not in self.commands:
                self._look_up(name)
        rest = [name for name in self.commands if name not in OWN and name not in first]
        order = [*first, *OWN, *rest]
        self.commands = {name: self.commands[name] for name in order}

    def _look_up(self, name: str) -> None:
        """Add the group of that name, if there is one."""
        if name in OWN:
            module, _, attribute = OWN[name].partition(":")
            found = getattr(import_module(module), attribute)
            if name in SINGLE:
                self.commands[name] = typer.main.get_command(found)
            else:
                self._add(name, found)
            return
        for group in entry_points(group=ROOMS, name=name):
            try:
                self._add(name, group.load())
            except ModuleNotFoundError as error:
                if error.name is not None and error.name.startswith("rackwatt"):
                    raise

    def _add(self, name: str, group: typer.Typer) -> None:
        # Through an application around it, which keeps a group with one command a group.
        around = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        around.add_typer(group, name=name)
        command: Any = typer.main.get_command(around)
        self.commands[name] = command.commands[name]
