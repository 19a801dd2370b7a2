# SPDX-License-Identifier: Apache-2.0
"""What the maintenance commands say to Alertmanager, where one is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rackwatt.collector.ledger.commands.times import local
from rackwatt.collector.roles.arguments import UsageProblem
from rackwatt.collector.site.console import console, stop
from rackwatt.collector.watchkeeping import silences
from rackwatt.collector.watchkeeping.commands.recording import Desk
from rackwatt.collector.watchkeeping.remotes import NoAnswer, Remote


@dataclass(frozen=True, slots=True)
class Mutes:
    """The Alertmanagers that are told; none: nothing is muted."""

    servers: Sequence[Remote]

    @classmethod
    def of(cls, urls: Sequence[str] | None, token: Path | None, ca_file: Path | None) -> Self:
        """Those that options name.

        Raises:
            typer.Exit: an option is wrong.
        """
        try:
            found = [Remote.of("--alertmanager", url, token, ca_file) for url in urls or ()]
        except UsageProblem as error:
            stop(str(error))
        return cls(found)

    def begin(
        self, desk: Desk, asset: str, span_ms: tuple[int, int], author: str, reason: str
    ) -> None:
        """Mute an asset's absence for a span, instead of what was muted of it before.

        Raises:
            typer.Exit: Alertmanager did not take it.
        """
        if not self.servers:
            return
        wanted = silences.matchers(desk.site, asset, desk.now_ms)
        try:
            silences.end(self.servers, desk.site, asset)
            comment = f"{silences.mark(asset)}{reason}"
            made = silences.begin(self.servers, wanted, span_ms, author, comment)
        except NoAnswer as error:
            stop(f"recorded, but nothing is muted: {error}; try 'rackwatt maintenance extend'", 1)
        until = local(span_ms[1], desk.site.timezone)
        console().print(f"Muted until {until}: {len(made)} silences, of absence only.")

    def end(self, desk: Desk, asset: str) -> None:
        """Have an asset's absence heard again.

        Raises:
            typer.Exit: Alertmanager did not take it.
        """
        if not self.servers:
            return
        try:
            count = silences.end(self.servers, desk.site, asset)
        except NoAnswer as error:
            stop(f"recorded, but still muted: {error}; end the silences in Alertmanager", 1)
        console().print(f"{count} silences ended.")
