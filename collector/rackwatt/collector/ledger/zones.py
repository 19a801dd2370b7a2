# SPDX-License-Identifier: Apache-2.0
"""Which version of the time zones' rules this machine follows."""

from importlib import metadata
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo


def tz_version(zone: ZoneInfo) -> str:
    """Return the version of the data that a zone was read from, as ``2026a``.

    Where a system does not say, the answer is ``system``.
    """
    for folder in map(Path, TZPATH):
        if zone.key and (folder / zone.key).is_file():
            return _stated(folder) or "system"
    try:
        return metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        return "unknown"


def _stated(folder: Path) -> str | None:
    listing, plain = folder / "tzdata.zi", folder / "+VERSION"
    if listing.is_file():
        with listing.open(encoding="utf-8") as lines:
            first = lines.readline().split()
        if first[:2] == ["#", "version"] and len(first) > 2:
            return first[2]
    return plain.read_text(encoding="utf-8").strip() if plain.is_file() else None
