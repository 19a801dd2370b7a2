# SPDX-License-Identifier: Apache-2.0
"""Writes the bill of materials as CycloneDX 1.6 JSON: what is installed with `rackwatt[all]`.

The same dependencies give the same bytes: there is no time and no random number in it.
"""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from dependencies import OURS, Dependency, page, python
from packageurl import PackageURL


def _component(found: Dependency, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    group, _, name = found.name.rpartition("/")
    url = PackageURL(found.ecosystem, group or None, name, found.version)
    licences = [LicenseFactory().make_from_string(found.licence)] if found.licence else []
    return Component(
        type=kind,
        group=group or None,
        name=name,
        version=found.version,
        purl=url,
        bom_ref=str(url),
        licenses=licences,
    )


def bill() -> dict[str, Any]:
    """The bill, as JSON."""
    dependencies = python("all")
    own = dependencies.pop(OURS)
    assets = page()
    components = {name: _component(found) for name, found in dependencies.items()}
    scripts = {name: _component(found) for name, found in assets.items()}
    bom = Bom(components=[*components.values(), *scripts.values()])
    root = bom.metadata.component = _component(own, ComponentType.APPLICATION)
    for name, found in dependencies.items():
        bom.register_dependency(components[name], [components[need] for need in found.needs])
    for name, found in assets.items():
        needs = [scripts[need] for need in found.needs if need in scripts]
        bom.register_dependency(scripts[name], needs)
    bom.register_dependency(root, [components[need] for need in own.needs])
    bom.register_dependency(root, scripts.values())
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    text = json.dumps(document, sort_keys=True)
    return {**document, "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, text).urn}


def main() -> int:
    """`python scripts/sbom.py FILE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    found = bill()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{file}: {len(found['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())
