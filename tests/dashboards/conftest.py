# SPDX-License-Identifier: Apache-2.0
"""What the tests of dashboards share."""

import pytest
from dashboards.filling import Filled, fill

from servers.fixtures import InfluxDB


@pytest.fixture(scope="session")
def filled(influxdb: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Two days of a site."""
    return fill(influxdb, tmp_path_factory.mktemp("filled"))
