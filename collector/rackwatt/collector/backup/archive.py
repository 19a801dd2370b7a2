# SPDX-License-Identifier: Apache-2.0
"""The backup's file: a compressed tar with a manifest that names every file and its SHA-256."""

import io
import json
import os
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any, Final

from rackwatt.collector.backup.contents import SITE_FOLDER, Part, Source
from rackwatt.collector.ledger.reading import LedgerReader
from rackwatt.wire.database import connect

FORMAT: Final = "rackwatt backup"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
_MOST_MANIFEST_BYTES: Final = 10_000_000
_LEVEL: Final = 1
"""Of compression: the ledger's text is a tenth already, and more takes minutes."""

Say = Callable[[str], None]


class BackupError(RuntimeError):
    """A backup cannot be made or is not sound; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup; `bytes` and `sha256` are of its copy."""

    part: str
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the ledger's chain ended with."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        made: when, ISO 8601 in UTC.
        software: the version that made it.
        files: in the order of the archive.
        ledger: the end of the ledger's chain; None: no ledger in it.
    """

    made: str
    software: str
    files: tuple[Entry, ...]
    ledger: Head | None

    def text(self) -> bytes:
        """As the archive holds it."""
        said = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(said, indent=1).encode() + b"\n"


def write_backup(
    sources: Sequence[Source], out: Path, made: str, software: str, say: Say
) -> Manifest:
    """Copy files, whoever writes them meanwhile, into an archive that is there whole or not.

    Raises:
        BackupError: a file that belongs to it cannot be read.
        OSError: the archive cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        copies = [_copy(source, Path(folder), say) for source in sources]
        entries = tuple(entry for _, entry in copies)
        manifest = Manifest(made, software, entries, _head(copies))
        try:
            _pack(part, manifest, copies)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return manifest


def _copy(source: Source, folder: Path, say: Say) -> tuple[Path, Entry]:
    copy = folder / source.name.replace("/", "__")
    try:
        if source.database:
            # In one step, so that no writer makes it begin again; a reader holds up no writer.
            with (
                closing(connect(source.path, read_only=True)) as db,
                closing(sqlite3.connect(copy)) as to,
            ):
                db.backup(to)
        else:
            copy.write_bytes(source.path.read_bytes())
    except (sqlite3.Error, OSError) as error:
        raise BackupError(f"{source.path} cannot be copied: {error}") from error
    size = copy.stat().st_size
    say(f"{source.part:<14} {source.path}  {size / 1e6:,.1f} MB")
    with copy.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return copy, Entry(str(source.part), source.name, size, digest)


def _head(copies: Sequence[tuple[Path, Entry]]) -> Head | None:
    """The end of the chain in the copy: what a restored ledger must end with."""
    for copy, entry in copies:
        if entry.part == Part.LEDGER:
            return head_of(copy)
    return None


def head_of(ledger: Path) -> Head:
    """What the chain of a ledger ends with.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with closing(LedgerReader(ledger)) as books:
        return Head(books.head_seq(), books.head())


def _pack(path: Path, manifest: Manifest, copies: Sequence[tuple[Path, Entry]]) -> None:
    with path.open("wb") as raw:
        path.chmod(0o600)  # readings and names of tenants are nobody else's
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=_LEVEL) as tar:
            _add(tar, MANIFEST, io.BytesIO(text := manifest.text()), len(text))
            for copy, entry in copies:
                with copy.open("rb") as file:
                    _add(tar, entry.name, file, entry.bytes)
        raw.flush()
        os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, name: str, data: Any, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    tar.addfile(info, data)


# -- and back ------------------------------------------------------------------------------------


def read_manifest(path: Path) -> Manifest:
    """What a backup says of itself.

    Raises:
        BackupError: it is none, or of a later version.
    """
    try:
        with tarfile.open(path, "r:gz") as tar:
            return _manifest(tar, path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise BackupError(f"{path} is no backup: {error}") from error


def _manifest(tar: tarfile.TarFile, path: Path) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > _MOST_MANIFEST_BYTES:
        raise BackupError(f"{path} is no backup of rackwatt: it has no manifest")
    file = tar.extractfile(first)
    try:
        said = json.loads(file.read() if file is not None else b"")
        if said["format"] != FORMAT:
            raise BackupError(f"{path} is no backup of rackwatt")
        if said["version"] != VERSION:
            raise BackupError(
                f"{path} was made by rackwatt {said['software']}: this version cannot read it"
            )
        head = said["ledger"]
        files = tuple(Entry(**one) for one in said["files"])
        return Manifest(said["made"], said["software"], files, head and Head(**head))
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path}: its manifest cannot be read: {error!r}") from error


def restore_backup(path: Path, data: Path, say: Say) -> Manifest:
    """Put the files of a backup into a folder that is empty or not there.

    They are written beside it first, and move to their place when all of them are there, sound.

    Raises:
        BackupError: the folder is not empty, or the archive is not sound; nothing was changed.
        OSError: the folder cannot be written.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupError(f"{data} is not empty: name a folder that is, or that is not there yet")
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=f".{data.name}-") as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        try:
            with tarfile.open(path, "r:gz") as tar:
                manifest = _manifest(tar, path)
                for entry in manifest.files:
                    _unpack(tar, entry, whole)
                    say(f"{entry.part:<14} {entry.name}  {entry.bytes / 1e6:,.1f} MB")
        except (EOFError, tarfile.TarError, zlib.error) as error:
            raise BackupError(f"{path} is damaged: {error}") from error
        _prove(manifest, whole)
        if data.exists():
            data.rmdir()
        whole.rename(data)
    return manifest


def place_of(entry: Entry, folder: Path) -> Path:
    """Where a file goes.

    Raises:
        BackupError: its name leads elsewhere.
    """
    name = PurePosixPath(entry.name)
    head, *rest = name.parts or ("",)
    if name.is_absolute() or ".." in name.parts or not rest or head not in ("data", SITE_FOLDER):
        raise BackupError(f"the backup names a file {entry.name!r}, which leads elsewhere")
    return folder.joinpath(*rest) if head == "data" else folder.joinpath(head, *rest)


def _unpack(tar: tarfile.TarFile, entry: Entry, folder: Path) -> None:
    to = place_of(entry, folder)
    info = tar.next()
    file = None if info is None or info.name != entry.name else tar.extractfile(info)
    if file is None:
        raise BackupError(f"the backup is damaged: {entry.name} is missing")
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("wb") as out:
        while piece := file.read(1 << 20):
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    with to.open("rb") as copy:
        if file_digest(copy, "sha256").hexdigest() != entry.sha256:
            raise BackupError(f"the backup is damaged: {entry.name} is not what was copied")


def _prove(manifest: Manifest, folder: Path) -> None:
    for entry in manifest.files:
        if entry.part == Part.LEDGER and head_of(place_of(entry, folder)) != manifest.ledger:
            raise BackupError("the ledger's chain does not end as the manifest says")
