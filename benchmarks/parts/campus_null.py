# SPDX-License-Identifier: Apache-2.0
"""`rackwatt collect` with a store that forgets: what is left is our own work.

While the file that `RACKWATT_BENCH_OUTAGE` names is there, the store is away.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from rackwatt.collector import cli
from rackwatt.collector.store.base import Row, StoreUnavailable, WriteResult
from rackwatt.collector.store.read import StoredRow

VARIABLE = "RACKWATT_BENCH_OUTAGE"


class NullStore:
    """Takes rows and forgets them."""

    def __init__(self) -> None:
        self._away = Path(os.environ.get(VARIABLE, "/nowhere/at/all"))

    async def start(self) -> None:
        """Nothing to do."""

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Count.

        Raises:
            StoreUnavailable: it is away.
        """
        if self._away.exists():
            raise StoreUnavailable("away")
        return WriteResult(len(rows))

    def history(
        self, measurement: str, start_ms: int, end_ms: int, devices: Collection[str] = ()
    ) -> Iterator[tuple[str, list[StoredRow]]]:
        """Nothing was kept."""
        del measurement, start_ms, end_ms, devices
        return iter(())

    async def aclose(self) -> None:
        """Nothing to do."""


def _null(*_: Any, **__: Any) -> Any:
    return NullStore()


if __name__ == "__main__":
    vars(cli)["store_of"] = _null
    cli.main()
