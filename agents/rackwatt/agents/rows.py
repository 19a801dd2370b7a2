# SPDX-License-Identifier: Apache-2.0
"""What the drivers' settings share: types of names and hosts, and what several rows show together.

The checks on rows look at the file as it was written, so that they speak even where something
else in it is wrong, and name the very row.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from rackwatt.wire.config import ConfigError, ConfigErrors, Document, Key
from rackwatt.wire.topics import check_name


def _host(value: str) -> str:
    if "://" in value or "/" in value:
        raise ValueError("expects a name or an address alone, like 192.0.2.10")
    if any(letter.isspace() for letter in value) or not value:
        raise ValueError("expects a name or an address, like 192.0.2.10")
    head, colon, port = value.rpartition(":")
    if colon and (":" not in head or head.endswith("]")):
        raise ValueError(f"holds a port: write host: {head}, port: {port}")
    return value


def _device(value: str) -> str:
    return check_name(value, "name")


Host = Annotated[str, AfterValidator(_host)]
"""A name or an address, without scheme, port or path."""
DeviceName = Annotated[str, AfterValidator(_device)]
"""A device's name on the wire, as a site file can name it."""

Row = tuple[Key, Mapping[str, Any]]
"""A row as it was written, and the key at which it stands."""


def rows_of(document: Document, section: str) -> list[Row]:
    """The rows of `devices` that are mappings; what else stands there is an error elsewhere."""
    part = document.data.get(section)
    items = part.get("devices") if isinstance(part, Mapping) else None
    if not isinstance(items, list):
        return []
    return [
        ((section, "devices", index), item)
        for index, item in enumerate(items)
        if isinstance(item, Mapping)
    ]


def doubled(
    document: Document,
    rows: Sequence[Row],
    key: str,
    identity: Callable[[Mapping[str, Any]], Hashable],
    message: str,
) -> Iterator[ConfigError]:
    """Rows that are the same as an earlier one.

    Args:
        document: for the lines.
        rows: of `rows_of`.
        key: of a row, at which the error stands.
        identity: what must differ; None where it cannot be told.
        message: `{name}` is the row's device, `{other}` the earlier one's, `{line}` its line.
    """
    seen: dict[Hashable, Row] = {}
    for at, row in rows:
        try:
            first, other = seen.setdefault(identity(row), (at, row))
        except TypeError:  # a list or mapping where a word belongs: reported by the model
            continue
        if first == at or identity(row) is None:
            continue
        text = message.format(
            name=_name(row), other=_name(other), line=document.line_of((*first, key))
        )
        yield document.error((*at, key), text)


def _name(row: Mapping[str, Any]) -> object:
    return row.get("device", row.get("name"))


def map_errors(
    document: Document, rows: Sequence[Row], load: Callable[[str, Path], object]
) -> Iterator[ConfigError]:
    """What is wrong with the map files of one's own that rows name; each file is told once."""
    folder = Path(document.file).resolve().parent
    told: set[str] = set()
    for at, row in rows:
        name = row.get("map")
        if not isinstance(name, str) or not name.endswith((".yaml", ".yml")) or name in told:
            continue
        told.add(name)
        if not (folder / name).is_file():
            yield document.error((*at, "map"), f"there is no map file {folder / name}")
            continue
        try:
            load(name, folder)
        except ConfigErrors as errors:
            yield from errors.errors
