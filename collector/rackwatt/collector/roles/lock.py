# SPDX-License-Identifier: Apache-2.0
"""One supervisor per data folder, and none while an earlier one's children still live.

Both locks are the kernel's (flock): they go with the processes that hold them, so nothing stale
can block a restart, not even after SIGKILL.
"""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class Busy(RuntimeError):  # noqa: N818 - a state, not a fault
    """Another supervisor, or what is left of one, uses the folder."""


class DataLock:
    """The lock on a data folder.

    Args:
        folder: made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: int | None = None
        self.children: int | None = None
        """Inherited by every child: the folder counts as in use while any of them lives."""

    async def acquire(self, wait_seconds: float = 15.0) -> None:
        """Take the folder.

        Args:
            wait_seconds: how long children of a killed supervisor may take to end.

        Raises:
            Busy: another supervisor holds it, or orphans did not end in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "supervisor.lock"
        own = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(own)
            pid = path.read_text(encoding="ascii").strip() or "?"
            raise Busy(
                f"{self._folder} is in use by another 'rackwatt up' (process {pid}): "
                "stop that one, or choose another folder with --data"
            ) from error
        os.ftruncate(own, 0)
        os.pwrite(own, f"{os.getpid()}\n".encode(), 0)
        self._own = own
        try:
            await self._wait_for_orphans(wait_seconds)
        except BaseException:
            self.release()
            raise

    async def _wait_for_orphans(self, wait_seconds: float) -> None:
        path = self._folder / "children.lock"
        children = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.children = children
        try:
            async with asyncio.timeout(wait_seconds):
                while not _try_lock(children):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise Busy(
                f"{self._folder}: processes of an earlier 'rackwatt up' are still ending; "
                "try again in a moment"
            ) from error

    def release(self) -> None:
        """Let go; a lock that children still hold goes with them."""
        for descriptor in (self.children, self._own):
            if descriptor is not None:
                os.close(descriptor)
        self.children = self._own = None

    async def __aenter__(self) -> Self:
        """Take the folder.

        Raises:
            Busy: it is in use.
        """
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go."""
        self.release()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
