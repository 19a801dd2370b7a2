# SPDX-License-Identifier: Apache-2.0
"""Lines of the sheet as text, and a process of its own that writes them.

Half the time of an import goes into writing floats as text. So a long file has a second process
for it, which is given the lines in blocks and needs nothing else.
"""

import contextlib
import marshal
import os
import re
import signal
import sys
from collections.abc import Iterable
from typing import IO, Final, NoReturn

Cell = str | float | None
Line = list[Cell]

_PLAIN: Final = re.compile(r"[-+:.TZ 0-9]*", re.ASCII)


def text_of(lines: Iterable[Line]) -> str:
    """Lines as CSV; floats as the shortest text that reads back as the same float."""
    texts: list[str] = []
    for line in lines:
        cells = ["" if cell is None else str(cell) for cell in line]
        if not _PLAIN.fullmatch(cells[0]):
            cells[0] = '"' + cells[0].replace('"', '""') + '"'
        texts.append(",".join(cells) + "\n")
    return "".join(texts)


class Typist:
    """A child that writes lines into a file which is open already.

    Call it before any thread is started: it is a fork of this process.

    Args:
        file: Where the lines go; from now on the child's alone, until :meth:`finish`.
    """

    def __init__(self, file: IO[str]) -> None:
        file.flush()
        read, write = os.pipe()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            os.close(write)
            _type(read, file)
        os.close(read)
        self._pipe = os.fdopen(write, "wb")

    def write(self, lines: list[list[Cell]]) -> None:
        """Hand lines over.

        Raises:
            OSError: The file cannot be written.
        """
        try:
            marshal.dump(lines, self._pipe)
        except BrokenPipeError:
            self.finish()
            raise

    def finish(self) -> None:
        """Wait until all is written; may be called again.

        Raises:
            OSError: The file cannot be written.
        """
        with contextlib.suppress(BrokenPipeError):  # its exit status says why
            self._pipe.close()
        if self._pid is None:
            return
        pid, self._pid = self._pid, None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code > 0:
            raise OSError(code, os.strerror(code))
        if code < 0:
            raise OSError(f"the process that writes was ended by signal {-code}")


def fits() -> bool:
    """Whether this system can have a typist."""
    return sys.platform == "linux"


def _type(read: int, file: IO[str]) -> NoReturn:
    """Live as the child; its exit status is the error number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it, by ending the pipe
    code = 0
    try:
        with os.fdopen(read, "rb") as pipe:
            while True:
                try:
                    lines = marshal.load(pipe)  # noqa: S302 - from the parent alone
                except EOFError:
                    break
                file.write(text_of(lines))
        file.flush()
    except OSError as error:
        code = error.errno or 1
    finally:
        os._exit(code)
