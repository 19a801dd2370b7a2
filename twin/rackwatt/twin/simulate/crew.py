# SPDX-License-Identifier: Apache-2.0
"""The parent's side of the simulation's processes: started, fed, listened to, ended."""

import contextlib
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rackwatt.twin.simulate.children import (
    BOOKS,
    COPIES,
    STORE,
    Folders,
    Mailbox,
    copy_books,
    fill_store,
    keep_books,
)
from rackwatt.twin.simulate.messages import Booking, Done, Failed, Filling, Finished
from rackwatt.twin.simulate.problems import SimulationFailed
from rackwatt.wire.inventory import InventoryItem

Facts = dict[str, str | int | float | None]

_WAITING: Final = 24
"""Simulated hours that may wait for a slower process."""
_LOOK_SECONDS: Final = 0.2
_END_SECONDS: Final = 5.0
_ENOUGH: Final = object()


class _Child:
    """A process, its pipes, and a thread that feeds it."""

    def __init__(self, who: str, target: Callable[..., None], arguments: Sequence[object]) -> None:
        context = multiprocessing.get_context("spawn")
        theirs, self._feed = context.Pipe(duplex=False)
        self.words, told = context.Pipe(duplex=False)
        self.process = context.Process(
            target=target, args=(*arguments, Mailbox(theirs, told)), name=who, daemon=True
        )
        with _deaf():
            self.process.start()
        theirs.close()
        told.close()
        self._waiting: queue.Queue[object] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._pass_on, name=f"feed-{who}", daemon=True)
        self._thread.start()

    def _pass_on(self) -> None:
        while (message := self._waiting.get()) is not _ENOUGH:
            try:
                self._feed.send(message)
            except OSError:  # it is gone: whoever listens to it will say so
                return

    def give(self, message: object) -> bool:
        """Hand a message over; False when too much waits already."""
        try:
            self._waiting.put(message, timeout=_LOOK_SECONDS)
        except queue.Full:
            return False
        return True

    def end(self, *, at_once: bool) -> None:
        """Let it end, or see to it."""
        if at_once:
            self.process.terminate()
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(_ENOUGH)
            self._thread.join(_LOOK_SECONDS)
            with contextlib.suppress(queue.Empty):
                self._waiting.get_nowait()
        self._feed.close()
        self.words.close()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """What is started here never hears Ctrl-C, not even while it begins: it is for the parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Crew:
    """Books, store and copy, each a process.

    Args:
        site_file: The simulated site's.
        folders: Where everything goes.
        items: What is known of registers.
        times: Where simulated time begins and ends, ms.
        tell: Is called with every `Done`.
    """

    def __init__(
        self,
        site_file: Path,
        folders: Folders,
        items: Sequence[InventoryItem],
        times: tuple[int, int],
        tell: Callable[[Done], None],
    ) -> None:
        self._site_file = site_file
        self._folders = folders
        self._items = list(items)
        self._start_ms, self._end_ms = times
        self._tell = tell
        self._children: dict[str, _Child] = {}
        self._finished: dict[str, Facts] = {}
        self._through = 0

    def __enter__(self) -> Self:
        """Start."""
        site, folders = self._site_file, self._folders
        self._start(BOOKS, keep_books, site, folders, self._items, self._start_ms)
        self._start(STORE, fill_store, folders)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what still runs."""
        for child in self._children.values():
            child.end(at_once=kind is not None)

    def _start(self, who: str, target: Callable[..., None], *arguments: object) -> None:
        self._children[who] = _Child(who, target, arguments)

    def book(self, message: Booking) -> None:
        """Give readings to the books.

        Raises:
            SimulationFailed: a process cannot go on.
        """
        self._put(BOOKS, message)

    def fill(self, message: Filling) -> None:
        """Give pieces to the store.

        Raises:
            SimulationFailed: as `book`.
        """
        self._put(STORE, message)

    def finish(self) -> dict[str, Facts]:
        """Wait until all is booked, stored and copied; return what each has to say.

        Raises:
            SimulationFailed: as `book`.
        """
        self._put(STORE, None)
        while self._through < self._end_ms:
            self._listen(_LOOK_SECONDS)
        self._put(COPIES, None)
        self._wait_for(COPIES)
        self._put(BOOKS, {n: v for n, v in self._finished[COPIES].items() if ":" in n})
        self._put(BOOKS, None)
        self._wait_for(BOOKS)
        self._wait_for(STORE)
        return self._finished

    def _wait_for(self, who: str) -> None:
        while who not in self._finished:
            self._listen(_LOOK_SECONDS)

    def _put(self, who: str, message: object) -> None:
        self._listen(0.0)
        while not self._children[who].give(message):
            self._listen(0.0)

    def _listen(self, seconds: float) -> None:
        """Take what the children say, and see that they live."""
        lines = {child.words: who for who, child in self._children.items()}
        open_lines: list[Any] = [line for line, who in lines.items() if who not in self._finished]
        while ready := wait(open_lines, seconds):
            seconds = 0.0
            for line in ready:
                if isinstance(line, Connection):
                    self._hear(lines[line], line)
            open_lines = [line for line in open_lines if lines[line] not in self._finished]

    def _hear(self, who: str, line: Connection) -> None:
        try:
            message = line.recv()
        except (EOFError, OSError):
            process = self._children[who].process
            process.join(_END_SECONDS)
            raise SimulationFailed(
                f"the process of the {who} ended with code {process.exitcode}"
            ) from None
        if isinstance(message, Failed):
            raise SimulationFailed(f"{message.who}: {message.text}")
        if isinstance(message, Finished):
            self._finished[who] = message.facts
        if isinstance(message, Done):
            if who == BOOKS:
                self._booked(message)
            self._tell(message)

    def _booked(self, message: Done) -> None:
        self._through = message.through_ms
        if COPIES not in self._children:
            # The ledger's file is there now.
            self._start(COPIES, copy_books, self._site_file, self._folders, self._end_ms)
        elif COPIES not in self._finished:
            self._children[COPIES].give(message.count)  # a later one does as well
