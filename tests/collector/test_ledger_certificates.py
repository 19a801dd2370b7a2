# SPDX-License-Identifier: Apache-2.0
"""`rackwatt ledger certificates`: whole hours, whole Wh, and what is left out."""

import csv
import io
import json
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, hour_of
from collector.command_books import call, make, two_hours

from rackwatt.collector.ledger.commands.times import utc


def test_each_hour_has_its_evidence(tmp_path: Path) -> None:
    data = two_hours(tmp_path)
    found = call("certificates", "--data", str(data), "--json")
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    first, second = document["certificates"]
    assert first["face_value_watt_hours"] in {499, 500}
    assert isinstance(first["face_value_watt_hours"], int)
    assert first["production_starting_interval"] == utc(BEGIN)
    assert first["production_ending_interval"] == utc(BEGIN + HOUR)
    assert second["certificate_id"] == f"demo-pv-{utc(BEGIN + HOUR)}"
    assert first["attributes"] == "unissued"
    assert first["production_device_meters"] == ["p"]
    assert (first["country"], first["issued_from"]) == ("MA", "production")
    assert len(document["ledger"]["hash"]) == 64
    assert document["excluded"] == []
    assert "storage" in document["note"]
    rows = list(
        csv.DictReader(io.StringIO(call("certificates", "--data", str(data), "--csv").stdout))
    )
    assert [row["certificate_id"] for row in rows] == [
        one["certificate_id"] for one in document["certificates"]
    ]
    table = call("certificates", "--data", str(data), "--source", "pv")
    assert "solar_pv" in table.stdout
    assert "2 certificates" in table.stderr
    assert call("certificates", "--data", str(data), "--source", "wind").stdout == (
        "No hour with known production is booked in that span.\n"
    )


def test_unknown_and_estimated_hours_are_left_out_and_listed(tmp_path: Path) -> None:
    records = [
        one
        for one in hour_of(range(0, 3 * 3600 + 11, 10))
        if one.device != "p" or one.time_ms <= BEGIN + HOUR
    ]
    data = make(tmp_path, records, BEGIN + 3 * HOUR)
    document = json.loads(call("certificates", "--data", str(data), "--json").stdout)
    assert [one["production_starting_interval"] for one in document["certificates"]] == [utc(BEGIN)]
    hours = [one["start"] for one in document["excluded"]]
    assert hours == [utc(BEGIN + HOUR), utc(BEGIN + 2 * HOUR)]
    assert "unknown in" in document["excluded"][0]["reason"]
    found = call("certificates", "--data", str(data))
    assert f"left out: {utc(BEGIN + HOUR)} pv: production is unknown" in found.stderr


def test_an_estimate_of_another_meter_leaves_pv_alone(tmp_path: Path) -> None:
    silent = range(600, 1800)
    for device, kept in (("i", 1), ("p", 0)):
        folder = tmp_path / device
        folder.mkdir()
        records = [
            one
            for one in hour_of(range(0, 3611, 10))
            if one.device != device or (one.time_ms - BEGIN) // 1000 not in silent
        ]
        data = make(folder, records, BEGIN + HOUR)
        document = json.loads(call("certificates", "--data", str(data), "--json").stdout)
        assert len(document["certificates"]) == kept
    assert "production of p is shape_estimated" in document["excluded"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "solar"), "--source: no source 'solar'"),
        (("--from", "2026-05-28T10:30Z", "--to", "2026-05-28T12:00Z"), "per UTC hour"),
        (("--json", "--csv"), "choose one"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    found = call("certificates", "--data", str(two_hours(tmp_path)), *arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
