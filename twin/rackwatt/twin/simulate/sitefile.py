# SPDX-License-Identifier: Apache-2.0
"""The site file beside the simulated books: the given one, its meters read once a minute.

The ledger takes a meter's cadence from the site file; a file that says 1 s would make it treat
readings a minute apart as gaps. Everything else stays as it is, and files that it names are copied.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from rackwatt.collector.site.patterns import expand
from rackwatt.twin.files import dump_yaml
from rackwatt.twin.simulate.problems import SimulationProblem

SITE_FILE: Final = "site.yaml"
CADENCE: Final = "60s"
_HEAD: Final = (
    "# Written by 'rackwatt twin simulate': the site file that belongs to these books.\n"
    "# Meters are read once a minute here; the rest stands as it was given.\n"
)


class _Plain(yaml.SafeLoader):
    """Times stay as they were written."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in some if tag != "tag:yaml.org,2002:timestamp"]
    for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(path: Path) -> dict[str, Any]:
    """A site file's content; it must have been checked.

    Raises:
        OSError: it cannot be read.
    """
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain)  # noqa: S506 - a safe one
    return dict(content)


def write_site_file(document: dict[str, Any], folder: Path, given: Path | None) -> Path:
    """Leave the simulated site's file in `folder`, simulated and with slow meters.

    Args:
        document: The given file's content.
        folder: Of the books.
        given: The file itself, whose neighbours it may name; None: the default site.

    Raises:
        OSError: it cannot be written.
        SimulationProblem: a file that it names cannot be copied.
    """
    made = {**document, "site": {**document["site"], "simulated": True}}
    meters = [{**meter, "cadence": CADENCE} for meter in document.get("meters", [])]
    for meter in meters:
        if "sum" in meter or "minus" in meter:
            del meter["cadence"]
    made["meters"] = [*meters, *_pdus(document)]
    if given is not None:
        _copy_named(made, given.parent, folder)
        moves = given.with_suffix(".moves.yaml")
        if moves.exists():
            shutil.copyfile(moves, folder / "site.moves.yaml")
    path = folder / SITE_FILE
    path.write_text(_HEAD + dump_yaml(made), encoding="utf-8")
    return path


def _pdus(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """PDUs have their class from their row, and no cadence: name them as meters that have one."""
    given = {name for meter in document.get("meters", []) for name in expand(meter["id"])}
    for hall in document.get("halls", []):
        for row in hall.get("rows", []):
            for racks in _listed(row["racks"]):
                for pdu in _listed(row.get("pdus")):
                    pattern = pdu.replace("{rack}", racks).replace("{row}", row["id"])
                    names = expand(pattern)
                    free = [name for name in names if name not in given]
                    yield from (
                        _pdu(name, row) for name in ([pattern] if len(free) == len(names) else free)
                    )


def _listed(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _pdu(name: str, row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": name, "class": row.get("pdu_class", 1.0), "cadence": CADENCE}
    if "pdu_parent" in row:
        found["parent"] = row["pdu_parent"]
    for edge in ("valid_from", "valid_to"):
        if edge in row:
            found[edge] = row[edge]
    return found


def _copy_named(document: dict[str, Any], beside: Path, folder: Path) -> None:
    """Copy the CSV files that a site file names, and name the copies."""
    places = [(document, "certificates"), (document, "assignments_csv")]
    if isinstance(document.get("carbon"), dict):
        document["carbon"] = dict(document["carbon"])
        places.append((document["carbon"], "series"))
    for holder, key in places:
        names = holder.get(key)
        if names:
            holder[key] = [_copied(beside / name, folder) for name in _listed(names)]


def _copied(source: Path, folder: Path) -> str:
    target = folder / source.name
    try:
        if source.resolve() != target.resolve():
            shutil.copyfile(source, target)
    except OSError as error:
        raise SimulationProblem(f"--site: {source} cannot be copied: {error.strerror}") from None
    return source.name
