# SPDX-License-Identifier: Apache-2.0
"""What a store is: rows in, and an account of what it refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """The values of one device at one instant.

    Time and tags identify it: writing it again overwrites its fields and keeps the others.
    """

    measurement: str
    tags: tuple[tuple[str, str], ...]
    """In order of name; an empty value is the same as no tag."""
    fields: Mapping[str, float | str]
    """Numbers are floats for ever; what is unknown is not among them."""
    time_ms: int
    """Milliseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of the rows."""

    written: int = 0
    rejected: tuple[tuple[Row, str], ...] = ()
    """Rows that no retry will bring in, each with the reason."""


class StoreError(Exception):
    """The store did not take what it was given."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state, not a mistake
    """The store cannot take anything now: keep the rows and try again.

    Attributes:
        retry_after: seconds that the store asked to be left alone; None when it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreRefused(StoreError):  # noqa: N818
    """The store will not take anything from us until a person changes something."""


class Store(Protocol):
    """Where rows go.

    Writing is idempotent: after an error, or when in doubt, the same rows are written again.
    """

    async def start(self) -> None:
        """Get ready.

        Raises:
            StoreUnavailable: it cannot be reached now; start may be called again.
            StoreRefused: it will not serve us.
        """

    async def write(self, rows: Sequence[Row]) -> WriteResult:
        """Write rows; when this returns they are as durable as the store makes them.

        Raises:
            StoreUnavailable: some or all were not written; write them all again later.
            StoreRefused: nothing will be written until a person changes something.
        """

    async def aclose(self) -> None:
        """Finish and let go."""
