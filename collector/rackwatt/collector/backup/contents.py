# SPDX-License-Identifier: Apache-2.0
"""What a backup holds: the files of a data folder, in the order in which they must be copied.

Spools first, the ledger last. What a spool no longer holds was booked before its copy was made, so
that a ledger copied later has it; the other way round, messages booked and deleted between the two
copies would be in neither. What arrives after the spool's copy is asked for again after a restore:
its gap watch does not know it, and agents keep what they sent for a day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rackwatt.collector.ingest.state import SPOOL_FILE
from rackwatt.collector.ledger.anchors import FILE_NAME as ANCHORS
from rackwatt.collector.site import Site
from rackwatt.collector.store.read import BOOKS, READINGS

LEDGER: Final = "ledger.db"
ROLLUP_MARKS: Final = "rollups.db"
SITE_FOLDER: Final = "site"
"""Of the archive, and of the folder that it is restored to."""


class Part(StrEnum):
    """What a file is to the whole."""

    SPOOL = "spool"
    MARKS = "rollup marks"
    STORE = "embedded store"
    LEDGER = "ledger"
    ANCHORS = "anchors"
    SITE = "site file"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be copied.

    Attributes:
        part: what it is.
        path: where it stands.
        name: in the archive, with forward slashes.
        database: a SQLite file that somebody may be writing.
    """

    part: Part
    path: Path
    name: str
    database: bool


def contents(
    data: Path, site_file: Path | None, site: Site | None, *, with_store: bool
) -> list[Source]:
    """The files of a backup, in their order.

    Args:
        data: the folder of `rackwatt up`, of a collector, or of an accountant.
        site_file: the site file; None: none is copied.
        site: what stands in it: the files that it names are copied too.
        with_store: the embedded store too; without it history begins anew after a restore.
    """
    found: list[Source] = []
    for folder in (data / "collector", data):
        found += _databases(data, folder, (SPOOL_FILE, ROLLUP_MARKS), (Part.SPOOL, Part.MARKS))
    if with_store:
        stores = [data / "collector" / READINGS, data / READINGS, *_books(data)]
        found += [
            _database(data, path, Part.STORE)
            for folder in stores
            if folder.is_dir()
            for path in sorted(folder.glob("*.db"))
        ]
    for folder in (data / "accountant", data):
        found += _databases(data, folder, (LEDGER,), (Part.LEDGER,))
        if (path := folder / ANCHORS).is_file():
            found.append(Source(Part.ANCHORS, path, _name(data, path), database=False))
    return [*found, *_site(site_file, site)]


def _books(data: Path) -> list[Path]:
    return [data / "accountant" / BOOKS, data / BOOKS]


def _databases(
    data: Path, folder: Path, names: tuple[str, ...], parts: tuple[Part, ...]
) -> list[Source]:
    return [
        _database(data, folder / name, part)
        for name, part in zip(names, parts, strict=True)
        if (folder / name).is_file()
    ]


def _database(data: Path, path: Path, part: Part) -> Source:
    return Source(part, path, _name(data, path), database=True)


def _name(data: Path, path: Path) -> str:
    return f"data/{path.relative_to(data).as_posix()}"


def _site(site_file: Path | None, site: Site | None) -> Iterator[Source]:
    if site_file is None or site is None:
        return
    for name in sorted(site.files):
        path = site_file.parent / name
        yield Source(Part.SITE, path, f"{SITE_FOLDER}/{name}", database=False)
