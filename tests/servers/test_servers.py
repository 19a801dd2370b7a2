# SPDX-License-Identifier: Apache-2.0
"""The servers that other tests lean on start, answer, stop and come back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers.fixtures import (
    HOST,
    InfluxBucket,
    InfluxDB,
    Mosquitto,
    ServerError,
    ServerProcess,
    chromium_path,
    free_port,
    influxd_path,
    require,
)

INSTALLER = Path(__file__).parents[2] / "scripts" / "install-servers"


def mqtt_connects(port: int) -> bool:
    """Whether an MQTT 3.1.1 CONNECT is answered by a CONNACK that accepts it."""
    connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(connect)
        return connection.recv(4) == b"\x20\x02\x00\x00"


def listener(port: int, *, before: str = "") -> list[str]:
    """A command that listens on the port, for two minutes at most."""
    code = (
        f"import signal, socket, time; {before}\n"
        f"s = socket.create_server(('{HOST}', {port})); time.sleep(120)"
    )
    return [sys.executable, "-c", code]


class TestFinding:
    def test_a_free_port_can_be_listened_on(self) -> None:
        port = free_port()
        with socket.create_server((HOST, port)):
            pass

    def test_a_port_in_use_is_not_handed_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The draw comes back to the port in use, then falls on another."""
        taken, other = free_port(), free_port()
        draws = iter([taken - 10_000, other - 10_000])
        monkeypatch.setattr("servers.programs.secrets.randbelow", lambda _: next(draws))
        with socket.create_server((HOST, taken)):
            assert free_port() == other

    def test_a_missing_program_is_a_failure_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="scripts/install-servers"):
            require("no-such-server")

    def test_a_missing_program_is_a_skip_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="NOT TESTED: no-such-server"):
            require("no-such-server")

    def test_the_installer_and_the_tests_mean_the_same_influxd(self) -> None:
        where = subprocess.run([INSTALLER, "--where"], stdout=subprocess.PIPE, check=False)
        assert where.stdout.decode().strip() == str(influxd_path())
        assert (where.returncode == 0) == influxd_path().exists()

    @pytest.mark.e2e
    def test_the_browser_starts(self) -> None:
        version = subprocess.run([chromium_path(), "--version"], capture_output=True, check=True)
        assert b"Chrom" in version.stdout


class TestServerProcess:
    def test_it_lives_between_entry_and_exit(self, tmp_path: Path) -> None:
        port = free_port()
        with ServerProcess(listener(port), port=port, directory=tmp_path / "new") as server:
            assert server.is_running()
            os.kill(server.pid, 0)
        assert not server.is_running()
        with pytest.raises(ServerError, match="not started"):
            _ = server.pid

    def test_a_start_that_fails_shows_the_log(self, tmp_path: Path) -> None:
        server = ServerProcess(
            ["sh", "-c", "echo the disk is full; exit 3"], port=free_port(), directory=tmp_path
        )
        with pytest.raises(ServerError, match=r"(?s)exit code 3.*the disk is full"):
            server.start()

    def test_a_start_that_takes_too_long_leaves_nothing_behind(self, tmp_path: Path) -> None:
        server = ServerProcess(
            ["sh", "-c", "echo $$; exec sleep 60"],
            port=free_port(),
            directory=tmp_path,
            ready_seconds=0.3,
        )
        with pytest.raises(ServerError, match=r"not ready in 0\.3 s"):
            server.start()
        with pytest.raises(ProcessLookupError):
            os.kill(int(server.log_tail()), 0)

    def test_a_second_start_is_refused(self, tmp_path: Path) -> None:
        port = free_port()
        with (
            ServerProcess(listener(port), port=port, directory=tmp_path) as server,
            pytest.raises(ServerError, match="runs already"),
        ):
            server.start()

    def test_one_that_ignores_sigterm_is_killed(self, tmp_path: Path) -> None:
        port = free_port()
        deaf = listener(port, before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        server = ServerProcess(deaf, port=port, directory=tmp_path, stop_seconds=0.2).start()
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
        assert not server.is_running()

    def test_stopping_one_that_died_is_no_error(self, tmp_path: Path) -> None:
        port = free_port()
        server = ServerProcess(listener(port), port=port, directory=tmp_path).start()
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.stop()


@pytest.mark.e2e
class TestMosquitto:
    def test_it_comes_back_on_the_same_port(self, mosquitto: Mosquitto) -> None:
        port, first = mosquitto.port, mosquitto.pid
        assert mqtt_connects(port)
        mosquitto.restart()
        assert mosquitto.pid != first
        assert mosquitto.port == port
        assert mqtt_connects(port)

    def test_it_comes_back_after_sigkill(self, mosquitto: Mosquitto) -> None:
        assert mqtt_connects(mosquitto.port)
        mosquitto.kill()
        with pytest.raises(OSError, match="refused"):
            mqtt_connects(mosquitto.port)
        mosquitto.start()
        assert mqtt_connects(mosquitto.port)

    @pytest.mark.parametrize("persistence", [True, False])
    def test_persistence_is_a_choice(self, tmp_path: Path, persistence: bool) -> None:
        with Mosquitto(tmp_path, persistence=persistence) as broker:
            assert mqtt_connects(broker.port)
        assert (tmp_path / "mosquitto.db").exists() == persistence

    def test_a_bad_setting_is_shown(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path, extra=["max_quelled_bytes 1"])
        with pytest.raises(ServerError, match="max_quelled_bytes"):
            broker.start()


@pytest.mark.e2e
class TestInfluxDB:
    def test_it_is_version_2(self, influxdb: InfluxDB) -> None:
        health = json.loads(influxdb.request("GET", "/health"))
        assert health["status"] == "pass"
        assert health["version"].startswith("v2.")

    def test_what_is_written_comes_back_through_influxql(self, influx_bucket: InfluxBucket) -> None:
        influx_bucket.write(
            [
                "power,device=meter-1 power_watts=5.5,quality=1 1700000000000",
                "power,device=meter-2 power_watts=7.0 1700000000000",
                "power,device=meter-1 power_watts=6.25 1700000001000",
            ]
        )
        assert influx_bucket.query_influxql(
            "SELECT power_watts, device FROM power WHERE device = 'meter-1'"
        ) == [
            {
                "measurement": "power",
                "time": 1_700_000_000_000,
                "power_watts": 5.5,
                "device": "meter-1",
            },
            {
                "measurement": "power",
                "time": 1_700_000_001_000,
                "power_watts": 6.25,
                "device": "meter-1",
            },
        ]
        sums = influx_bucket.query_influxql("SELECT sum(power_watts) FROM power GROUP BY device")
        assert [(row["device"], row["sum"]) for row in sums] == [
            ("meter-1", 11.75),
            ("meter-2", 7.0),
        ]
        assert influx_bucket.count("power", "power_watts") == 3
        assert influx_bucket.count("power", "absent") == 0

    def test_each_test_has_an_empty_bucket(
        self, influxdb: InfluxDB, influx_bucket: InfluxBucket
    ) -> None:
        assert influx_bucket.bucket != influxdb.bucket
        assert influx_bucket.query_influxql("SHOW MEASUREMENTS") == []

    def test_its_words_are_shown_when_it_refuses(self, influx_bucket: InfluxBucket) -> None:
        with pytest.raises(ServerError, match=r"HTTP 400.*unable to parse"):
            influx_bucket.write("no line protocol")
        with pytest.raises(ServerError, match="failed to parse query"):
            influx_bucket.query_influxql("SELEKT 1")

    def test_data_outlives_a_stop_and_a_sigkill(self, tmp_path: Path) -> None:
        with InfluxDB(tmp_path) as server:
            server.write("power,device=a power_watts=1 1700000000000")
            server.restart()
            server.write("power,device=a power_watts=2 1700000001000")
            server.kill()
            server.start()
            assert server.count("power", "power_watts") == 2
