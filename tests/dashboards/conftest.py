# SPDX-License-Identifier: Apache-2.0
"""What the tests of dashboards share."""

import asyncio

import pytest
from dashboards.filling import Filled, fill, fill_states, fill_wet

from servers.fixtures import InfluxDB


@pytest.fixture(scope="session")
def filled(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Two days of a site, and of one that measures more."""
    found = fill(influxdb, tmp_path_factory.mktemp("filled"))
    asyncio.run(fill_wet(found, influxdb))
    asyncio.run(fill_states(found, influxdb))
    return found
