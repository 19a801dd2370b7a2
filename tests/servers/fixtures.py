# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: an MQTT broker, InfluxDB, and a browser to look with.

Nothing here imitates a server. `scripts/install-servers` installs them; a test that
needs one that is absent is skipped, or fails where CI=true. All listen on 127.0.0.1.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.influxdb import HTTP_SECONDS, InfluxBucket, InfluxDB
from servers.mosquitto import Mosquitto
from servers.process import ServerProcess
from servers.programs import (
    HOST,
    ServerError,
    chromium_path,
    find,
    free_port,
    influxd_path,
    require,
)

__all__ = [
    "HOST",
    "HTTP_SECONDS",
    "InfluxBucket",
    "InfluxDB",
    "Mosquitto",
    "ServerError",
    "ServerProcess",
    "chromium_path",
    "find",
    "free_port",
    "influx_bucket",
    "influxd_path",
    "influxdb",
    "mosquitto",
    "require",
]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of this test's own, running."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """The InfluxDB that all tests share: leave it running, and take `influx_bucket`.

    A test that stops or kills the server starts its own: `with InfluxDB(tmp_path) as server`.
    """
    with InfluxDB(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture
def influx_bucket(influxdb: InfluxDB) -> Iterator[InfluxBucket]:
    """An empty bucket of this test's own."""
    bucket = influxdb.create_bucket(f"test-{secrets.token_hex(6)}")
    yield bucket
    if influxdb.is_running():
        bucket.delete()
