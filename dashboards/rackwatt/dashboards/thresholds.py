# SPDX-License-Identifier: Apache-2.0
"""Thresholds, from the one file that dashboards and alerts share: `alerts/thresholds.yaml`."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from rackwatt.dashboards.palette import BAD, GOOD, WARN
from rackwatt.dashboards.sdk import dashboard

FILE: Final = Path(__file__).with_name("thresholds.yaml")
"""A link to `alerts/thresholds.yaml`; the file itself in a wheel."""


class Limit(BaseModel):
    """Where a figure becomes worth a look and worth a call, in its base unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Literal["above", "below"]
    warn: float
    bad: float
    why: Annotated[str, Field(min_length=1)]


_LIMITS: Final = TypeAdapter(dict[str, Limit])


@lru_cache(maxsize=1)
def limits() -> Mapping[str, Limit]:
    """All of them, by name.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: it is wrong.
    """
    return _LIMITS.validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def steps(name: str) -> dashboard.ThresholdsConfig:
    """A limit as a panel's colours.

    Raises:
        KeyError: no such limit.
    """
    limit = limits()[name]
    if limit.when == "above":
        bounds = [(None, GOOD), (limit.warn, WARN), (limit.bad, BAD)]
    else:
        bounds = [(None, BAD), (limit.bad, WARN), (limit.warn, GOOD)]
    return dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE,
        [dashboard.Threshold(value, color) for value, color in bounds],
    )


def plain(color: str) -> dashboard.ThresholdsConfig:
    """No limit: one colour."""
    return dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE, [dashboard.Threshold(None, color)]
    )
