# SPDX-License-Identifier: Apache-2.0
"""The physics of the simulated site: pure, seeded, without a clock."""

from rackwatt.twin.world.almanac import Almanac
from rackwatt.twin.world.racks import Node, Rack
from rackwatt.twin.world.world import SINKS, SOURCES, Climate, World

__all__ = ["SINKS", "SOURCES", "Almanac", "Climate", "Node", "Rack", "World"]
