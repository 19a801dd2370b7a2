# SPDX-License-Identifier: Apache-2.0
"""Files that the twin writes, each whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def write(file: Path, text: str) -> None:
    """Write a file; its folder is made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def write_yaml(file: Path, document: Mapping[str, Any], head: str = "") -> None:
    """Write a document behind a head."""
    write(file, head + dump_yaml(document))


def dump_yaml(document: Mapping[str, Any]) -> str:
    """YAML in the order given, leaves on one line."""
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)
