# SPDX-License-Identifier: Apache-2.0
"""A running skeleton for a new protocol: copy this folder and change it step by step."""

from rackwatt.agents.blueprint.settings import Settings, misfits
from rackwatt.agents.blueprint.source import BlueprintSource
from rackwatt.agents.source import Context, Source

__all__ = ["Settings", "create", "misfits"]


def create(settings: Settings, context: Context) -> Source:
    """The source; no I/O before `start`."""
    return BlueprintSource(settings, context)
