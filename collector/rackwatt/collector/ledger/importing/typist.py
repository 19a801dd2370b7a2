# SPDX-License-Identifier: Apache-2.0
"""Whoever writes the lines of the sheet and adds them up: this process, or a second one.

A third of the time of an import goes into that. So a long file has a second process for it, which
is given the lines in blocks and needs nothing else.
"""

import contextlib
import marshal
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable
from typing import IO, Final, NoReturn

from rackwatt.collector.ledger.importing.adding import Added, Adder, Table
from rackwatt.collector.ledger.importing.lines import COLUMNS, Line

_BROKEN: Final = 255
_SHOWN: Final = len(COLUMNS)
_PLAIN: Final = re.compile(r"[-+:.TZ 0-9]*", re.ASCII)


def text_of(lines: Iterable[Line]) -> str:
    """Lines as CSV; floats as the shortest text that reads back as the same float."""
    texts: list[str] = []
    for line in lines:
        cells = ["" if cell is None else str(cell) for cell in line[:_SHOWN]]
        if not _PLAIN.fullmatch(cells[0]):
            cells[0] = '"' + cells[0].replace('"', '""') + '"'
        texts.append(",".join(cells) + "\n")
    return "".join(texts)


class Typist:
    """Writes lines into a file, and adds them up.

    Args:
        file: Where the lines go.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._adder = Adder()

    def take(self, lines: list[Line], table: Table) -> None:
        """Take lines whose rows have the same factors.

        Raises:
            OSError: The file cannot be written.
        """
        self._file.write(text_of(lines))
        self._adder.take(lines, table)

    def finish(self) -> Added:
        """All lines are written: return what they come to.

        Raises:
            OSError: The file cannot be written.
        """
        self._file.flush()
        return self._adder.added

    def abandon(self) -> None:
        """There is no need for it any more."""


class SecondTypist(Typist):
    """A child that does so. Make it before any thread is started: it is a fork of this process.

    Args:
        file: Where the lines go; from now on the child's alone, until :meth:`finish`.
    """

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file)
        file.flush()
        orders, give = os.pipe()
        take, answer = os.pipe()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            os.close(give)
            os.close(take)
            _live(orders, answer, Typist(file))
        os.close(orders)
        os.close(answer)
        self._give = os.fdopen(give, "wb")
        self._take = os.fdopen(take, "rb")

    def take(self, lines: list[Line], table: Table) -> None:
        """Hand lines over."""
        plain = {series: dict(factors) for series, factors in table.items()}
        try:
            marshal.dump((lines, plain), self._give)
        except BrokenPipeError:
            self._end()
            raise

    def finish(self) -> Added:
        """Wait until all is written."""
        with contextlib.suppress(BrokenPipeError):  # the exit status says why
            self._give.close()
        answer = self._take.read()
        self._end()
        return Added(*marshal.loads(answer))  # noqa: S302 - from our own child

    def abandon(self) -> None:
        """End the child."""
        with contextlib.suppress(OSError):
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._give.close()
        self._take.close()
        if self._pid is None:
            return
        pid, self._pid = self._pid, None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == _BROKEN:
            raise OSError("the process that writes has failed")
        if code > 0:
            raise OSError(code, os.strerror(code))
        if code < 0:
            raise OSError(f"the process that writes was ended by signal {-code}")


def fits() -> bool:
    """Whether this system can have a typist."""
    return sys.platform == "linux"


def _live(orders: int, answer: int, typist: Typist) -> NoReturn:
    """Live as the child; its exit status is the error number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it, by ending the pipe
    code = _BROKEN
    try:
        with os.fdopen(orders, "rb") as pipe:
            while True:
                try:
                    lines, table = marshal.load(pipe)  # noqa: S302 - from the parent alone
                except EOFError:
                    break
                typist.take(lines, table)
        with os.fdopen(answer, "wb") as pipe:
            marshal.dump(tuple(typist.finish()), pipe)
        code = 0
    except OSError as error:
        code = error.errno or _BROKEN
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(code)
