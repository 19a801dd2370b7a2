# SPDX-License-Identifier: Apache-2.0
"""What we depend on, with licences: Python distributions as installed, and the page's packages."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = "rackwatt"

# How older metadata say it. "BSD" alone is one of two.
_ALIASES: Final[Mapping[str, str]] = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache2": "Apache-2.0",
    "BSD": "BSD-2-Clause OR BSD-3-Clause",
    "BSD License": "BSD-2-Clause OR BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Distributions whose metadata say nothing; somebody has read the licence file that they bring.
_READ_BY_HAND: Final[Mapping[str, str]] = {
    "pysnmp": "BSD-2-Clause",
    "verlib2": "Apache-2.0 OR BSD-2-Clause",  # in its file LICENSE
}


@dataclass(frozen=True, slots=True)
class Dependency:
    """One package. ``licence`` is an SPDX expression, or what its metadata say instead."""

    ecosystem: str
    name: str
    version: str
    licence: str
    needs: tuple[str, ...] = ()
    """Names of what it needs itself."""


def python(*extras: str) -> dict[str, Dependency]:
    """What our distribution needs with these extras, on this machine, by name.

    Raises:
        PackageNotFoundError: something of it is not installed.
    """
    found: dict[str, Dependency] = {}
    waiting = [Requirement(f"{OURS}[{','.join(extras)}]")]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = f"{name}{sorted(wanted.extras)}"
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(wanted.name)
        except PackageNotFoundError:
            raise PackageNotFoundError(f"{wanted} is not installed: run 'make check'") from None
        needs = list(_needs(installed, wanted.extras))
        waiting += needs
        before = found[name].needs if name in found else ()
        names = {canonicalize_name(need.name) for need in needs} - {name}
        version = installed.version.removeprefix("v")  # as the lock has it
        found[name] = Dependency(
            "pypi", name, version, licence_of(installed), (*before, *sorted(names))
        )
    return found


def _needs(installed: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in installed.requires or ():
        need = Requirement(text)
        contexts = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if need.marker is None or any(need.marker.evaluate(context) for context in contexts):
            yield need


def licence_of(installed: Distribution) -> str:
    """Its licence, from the best that its metadata offer; empty when they offer nothing."""
    metadata = installed.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    by_hand = _READ_BY_HAND.get(canonicalize_name(metadata["Name"]))
    if by_hand is not None:
        return by_hand
    classifiers = [
        text.rpartition("::")[2].strip()
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License ::")
    ]
    text = str(metadata.get("License") or "").strip()
    said = text if text and "\n" not in text and len(text) < 60 else " ".join(classifiers)
    return _ALIASES.get(said, said)


def page() -> dict[str, Dependency]:
    """What the page's scripts and fonts come from."""
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    found = {}
    for path, entry in lock["packages"].items():
        if path:
            name = path.rpartition("node_modules/")[2]
            needs = tuple(sorted(entry.get("dependencies", ())))
            found[name] = Dependency("npm", name, entry["version"], entry.get("license", ""), needs)
    return found
