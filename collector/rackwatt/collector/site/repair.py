# SPDX-License-Identifier: Apache-2.0
"""Carry on after a slip of the pen, so that the rules can be checked in the same run.

A misspelt key or value is taken for the nearest valid one, and a bad number is left out: only to
find what else is wrong. The file is refused all the same.
"""

import copy
import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from rackwatt.collector.site.models import SiteFile
from rackwatt.wire.config import Document, fields_at

_HARMLESS: Final = frozenset(
    {
        "accuracy",
        "cadence",
        "calibration_group",
        "capacity_wh",
        "charge_efficiency",
        "class",
        "direct",
        "discharge_efficiency",
        "estimated",
        "grid_carbon_free_ratio",
        "initial_direct",
        "initial_life_cycle",
        "initial_wh",
        "latitude",
        "life_cycle",
        "longitude",
        "pdu_class",
        "simulated",
        "transformer_class",
        "year",
    }
)
"""Keys that no rule about several keys looks at: without them no false error arises."""


def repaired(document: Document, error: ValidationError) -> SiteFile | None:
    """The file with its slips mended, or None when they are more than slips."""
    data = copy.deepcopy(document.data)
    # What is missing last: it may have stood there under a misspelt name.
    for item in sorted(error.errors(), key=lambda item: item["type"] == "missing"):
        if not _mend(data, item):
            return None
    try:
        return SiteFile.model_validate(data)
    except ValidationError:
        return None


def _mend(data: Any, item: Mapping[str, Any]) -> bool:
    key = tuple(item["loc"])
    parent = data
    for part in key[:-1]:
        try:
            parent = parent[part]
        except (KeyError, IndexError, TypeError):
            return False
    name = key[-1] if key else None
    if not isinstance(parent, dict) or name not in parent:
        return False
    if item["type"] == "missing":
        return True
    value = parent.pop(name)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(name), fields_at(SiteFile, key[:-1]), 1, 0.5)
        if near:
            parent.setdefault(near[0], value)
        return True
    if item["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
        near = difflib.get_close_matches(str(value), valid, 1, 0.0)
        parent[name] = near[0] if near else valid[0]
        return True
    if isinstance(value, datetime) and value.tzinfo is None:
        parent[name] = value.replace(tzinfo=UTC)  # near enough to look for other errors
        return True
    return name in _HARMLESS
