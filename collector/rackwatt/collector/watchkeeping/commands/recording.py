# SPDX-License-Identifier: Apache-2.0
"""What the commands of the watch share: the books, the clock, the way into the journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rackwatt.collector.ledger.commands.decisions import signed
from rackwatt.collector.ledger.commands.options import ledger_file, need_site, reading
from rackwatt.collector.ledger.commands.writing import Wish, carry_out
from rackwatt.collector.ledger.orders import ACT
from rackwatt.collector.site import Site
from rackwatt.collector.site.console import stop
from rackwatt.collector.watchkeeping.log import Log, read_log
from rackwatt.collector.watchkeeping.words import MOST, plain
from rackwatt.wire.clock import SYSTEM_CLOCK

WRITING_FAILED = "the ledger cannot be written, or the accountant did not answer in 30 s"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the watch writes: a ledger, its site, and the time of this command."""

    path: Path
    site: Site
    now_ms: int

    @classmethod
    def of(cls, data: Path, site: Path | None) -> Self:
        """The one of a data folder.

        Raises:
            typer.Exit: there is no ledger or no site file, or the site file is wrong.
        """
        return cls(ledger_file(data), need_site(site, data), SYSTEM_CLOCK.now_ms())

    def log(self) -> Log:
        """What was said so far.

        Raises:
            typer.Exit: the ledger cannot be read.
        """
        with reading(self.path) as books:
            return read_log(books)

    def record(self, name: str, data: Mapping[str, Any], author: str, text: str) -> int:
        """Have an act recorded, here or by the accountant; return its place in the chain.

        Raises:
            typer.Exit: it was refused, or could not be written.
        """
        who, why = signed(plain(author), plain(text))
        if max(len(who), len(why)) > MOST:
            stop(f"more than {MOST} letters: write it elsewhere, and say here where")
        wish = Wish(ACT, {"name": name, "data": data}, who, why)
        return int(carry_out(self.path, self.site, wish).data["seq"])
