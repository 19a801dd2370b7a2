# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file of flows, gathered so that one run shows it all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST: Final = 20
"""Errors that are shown; reading ends with the last of them."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong, and what to do."""

    file: str
    line: int
    column: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """`file:line:column: message (hint)`."""
        where = f"{self.file}:{self.line}:" + (f"{self.column}:" if self.column else "")
        return f"{where} {self.message}" + (f" ({self.hint})" if self.hint else "")


class FlowsError(Exception):
    """The file cannot be booked.

    Args:
        complaints: Why, in the order of the file.
        more: There may be more; reading ended early.
    """

    def __init__(self, complaints: Sequence[Complaint], *, more: bool = False) -> None:
        self.complaints = tuple(complaints)
        lines = [str(complaint) for complaint in complaints]
        if more:
            lines.append(f"{len(lines)} errors shown; the rest of the file was not checked")
        super().__init__("\n".join(lines))


class Complaints:
    """The complaints about one file.

    Args:
        file: Its name, for messages.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Complaint] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, line: int, column: str, message: str, hint: str = "") -> None:
        """Note what is wrong.

        Raises:
            FlowsError: That was the last one that is shown.
        """
        self._found.append(Complaint(self.file, line, column, message, hint))
        if len(self._found) >= MOST:
            raise FlowsError(self._found, more=True)

    def end(self) -> None:
        """The file has been read.

        Raises:
            FlowsError: Something is wrong with it.
        """
        if self._found:
            raise FlowsError(self._found)
