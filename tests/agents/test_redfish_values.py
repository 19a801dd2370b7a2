# SPDX-License-Identifier: Apache-2.0
"""Redfish without a network: values, states, events, maps."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.redfish import load_redfish_map, shipped_maps
from rackwatt.agents.redfish.client import own_path, retry_after
from rackwatt.agents.redfish.schema import Read, Watch
from rackwatt.agents.redfish.stream import Parser
from rackwatt.agents.redfish.values import Found, pick, state_of, value_of
from rackwatt.agents.redfish.walk import Spot
from rackwatt.agents.redfish.watching import Watcher
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.readings import FIELDS, Quality

POWER, COOLANT = FIELDS["power"], FIELDS["coolant"]
LEAK = COOLANT["leak_ratio"]
STATES = Read(value="DetectorState", words={"OK": 0, "Warning": 1, "Critical": 1}, fold="max")
WATTS = Read(value="PowerWatts/Reading", unit="W")


def detector(state: str | None, status: str = "Enabled") -> dict[str, Any]:
    return {"DetectorState": state, "Status": {"State": status}}


def test_what_a_pointer_picks() -> None:
    thermal = {
        "Temperatures": [
            {"PhysicalContext": "CPU", "ReadingCelsius": 61},
            {"PhysicalContext": "Intake", "ReadingCelsius": 23},
            {"PhysicalContext": "Intake", "ReadingCelsius": None},
        ]
    }
    assert pick(thermal, "Temperatures/[PhysicalContext=Intake]/ReadingCelsius") == [23, None]
    assert pick(thermal, "Temperatures/[0]/ReadingCelsius") == [61]
    assert pick(thermal, "Temperatures/[9]/ReadingCelsius") == [None]
    assert pick(thermal, "Fans/[*]/Reading") == []
    assert pick(thermal, "Oem/Deep/Er") == [None]


@pytest.mark.parametrize(
    ("reading", "value"),
    [
        (1200, 1200.0),
        ("1200", 1200.0),
        (None, Quality.NOT_SUPPORTED),
        ("n/a", Quality.OUT_OF_RANGE),
        (True, Quality.OUT_OF_RANGE),
        (-5, Quality.OUT_OF_RANGE),
        (float("nan"), Quality.OUT_OF_RANGE),
        ([1], Quality.OUT_OF_RANGE),
    ],
)
def test_readings_of_all_sorts(reading: object, value: float | Quality) -> None:
    assert value_of(POWER["power_watts"], WATTS, [{"PowerWatts": {"Reading": reading}}]) == value


@pytest.mark.parametrize(
    ("state", "value"),
    [
        ("Enabled", 7.0),
        (None, 7.0),
        ("Absent", Quality.NOT_SUPPORTED),
        ("UnavailableOffline", Quality.EXCEPTION),
    ],
)
def test_the_last_reading_of_what_is_off_does_not_count(
    state: str | None, value: float | Quality
) -> None:
    resource = {"PowerWatts": {"Reading": 7}, "Status": {"State": state}}
    assert value_of(POWER["power_watts"], WATTS, [resource]) == value


@pytest.mark.parametrize(
    ("seen", "value"),
    [
        ([detector("OK"), detector("OK")], 0.0),
        ([detector("OK"), detector("Critical")], 1.0),
        ([detector(None), detector("Warning")], 1.0),
        ([Quality.TIMEOUT, detector("Critical")], 1.0),
        ([Quality.TIMEOUT, detector("OK")], Quality.TIMEOUT),
        ([detector("OK"), detector(None)], Quality.NOT_SUPPORTED),
        ([detector("OK"), detector("OK", "UnavailableOffline")], Quality.EXCEPTION),
        ([detector("OK"), detector("OK", "Disabled")], Quality.NOT_SUPPORTED),
        ([detector("OK"), detector(None, "Absent")], 0.0),
        ([detector(None, "Absent")], Quality.NOT_SUPPORTED),
        ([detector("Damp")], Quality.OUT_OF_RANGE),
        ([], Quality.NOT_SUPPORTED),
    ],
)
def test_dry_only_where_every_detector_says_so(seen: list[Found], value: float | Quality) -> None:
    assert value_of(LEAK, STATES, seen) == value


@given(
    st.lists(
        st.one_of(
            st.sampled_from([Quality.TIMEOUT, Quality.EXCEPTION, Quality.NOT_SUPPORTED]),
            st.builds(detector, st.sampled_from(["OK", "Warning", "Critical", None, "?"])),
        )
    )
)
def test_a_leak_is_never_dry_by_what_is_missing(seen: list[Any]) -> None:
    value = value_of(LEAK, STATES, seen)
    wet = any(isinstance(s, dict) and s["DetectorState"] in {"Warning", "Critical"} for s in seen)
    dry = bool(seen) and all(isinstance(s, dict) and s["DetectorState"] == "OK" for s in seen)
    assert (value == 1.0) == wet
    assert (value == 0.0) == dry


def test_what_is_gone_does_not_run_and_what_did_not_answer_is_unknown() -> None:
    count = Read(value="Status/Health", words={"OK": 1, "Warning": 1, "Critical": 0}, fold="count")
    well = {"Status": {"State": "Enabled", "Health": "OK"}}
    spec = POWER["supplies_running_number"]
    assert value_of(spec, count, [well, well, Quality.NOT_SUPPORTED]) == 2.0
    assert value_of(spec, count, [well, {"Status": {"State": "Absent"}}]) == 1.0
    assert value_of(spec, count, [well, {"Status": {"Health": "Critical"}}]) == 1.0
    assert value_of(spec, count, [well, Quality.TIMEOUT]) is Quality.TIMEOUT


@pytest.mark.parametrize(
    ("states", "value"),
    [
        (("Enabled", "Enabled"), 2.0),
        (("Enabled", "Absent"), 1.0),
        (("Enabled", "UnavailableOffline"), 1.0),
        ((), Quality.NOT_SUPPORTED),
    ],
)
def test_each_of_a_list_has_a_state_of_its_own(
    states: tuple[str, ...], value: float | Quality
) -> None:
    count = Read(
        value="PowerSupplies/[*]/Status/Health", words={"OK": 1, "Critical": 0}, fold="count"
    )
    power = {"PowerSupplies": [{"Status": {"State": state, "Health": "OK"}} for state in states]}
    assert value_of(POWER["supplies_running_number"], count, [power]) == value
    warm = Read(value="T/[PhysicalContext=Intake]/ReadingCelsius", unit="Cel", fold="max")
    intake = {"PhysicalContext": "Intake", "ReadingCelsius": 24}
    gone = {"PhysicalContext": "Intake", "ReadingCelsius": 99, "Status": {"State": "Absent"}}
    assert value_of(POWER["temperature_celsius"], warm, [{"T": [intake, gone]}]) == 24.0
    off = gone | {"Status": {"State": "Disabled"}}
    assert isinstance(value_of(POWER["temperature_celsius"], warm, [{"T": [intake, off]}]), Quality)


@pytest.mark.parametrize(
    ("fold", "value"), [("sum", 9.0), ("mean", 3.0), ("min", 2.0), ("max", 4.0), ("only", None)]
)
def test_folds(fold: Any, value: float | None) -> None:
    read = Read(value="W", unit="W", fold=fold)
    got = value_of(POWER["power_watts"], read, [{"W": 2}, {"W": 3}, {"W": 4}])
    assert got == (Quality.EXCEPTION if value is None else value)


def test_states() -> None:
    health = "Status/Health"
    assert state_of({"Status": {"State": "Enabled", "Health": None}}, health) == "ok"
    assert state_of({"Status": {"State": "Enabled", "Health": "Warning"}}, health) == "warning"
    assert state_of({"Status": {"State": "Absent"}}, health) == "absent"
    assert state_of({"Status": {"State": "UnavailableOffline"}}, health) == "critical"
    assert state_of(detector(None), "DetectorState") == "unknown"
    assert state_of(Quality.NOT_SUPPORTED, health) == "absent"
    assert state_of(Quality.TIMEOUT, health) == "unknown"


def test_changes_are_told_once_and_silence_is_no_change() -> None:
    watch = Watch(code="psu", name="power supply")
    watcher = Watcher()
    spot = Spot("/x/PS1", ("PS1",))

    def look(found: Found) -> list[tuple[str, str]]:
        return [(e.code, e.severity) for e in watcher.look("shelf", watch, [(spot, found)])]

    well = {"Status": {"State": "Enabled", "Health": "OK"}}
    bad = {"Status": {"State": "Enabled", "Health": "Critical"}}
    assert look(well) == []
    assert look(bad) == [("psu_critical", "critical")]
    assert look(bad) == look(Quality.TIMEOUT) == look(bad) == []
    assert look(Quality.NOT_SUPPORTED) == [("psu_absent", "critical")]
    assert look(well) == [("psu_ok", "info")]
    other = Spot("/x/PS2", ("PS2",))
    assert list(watcher.look("shelf", watch, [(other, Quality.NOT_SUPPORTED)])) == []
    (event,) = watcher.look("shelf", watch, [(Spot("/x/PS3", ("PS3",)), bad)])
    assert event.text == "power supply PS3: Health Critical, State Enabled"


def test_events_of_a_stream() -> None:
    parser = Parser()
    lines = [
        ": a comment",
        "id: 7",
        'data: {"Events": [{"MessageId": "ResourceEvent.1.4.ResourceErrorsDetected",',
        'data: "MessageSeverity": "Critical", "Message": "wet",',
        'data: "OriginOfCondition": {"@odata.id": "/redfish/v1/Chassis/1"}}, 5]}',
    ]
    assert [told for line in lines for told in parser.feed(line)] == []
    (told,) = parser.feed("")
    assert told.path == "/redfish/v1/Chassis/1"
    assert told.event.code == "redfish_resource_errors_detected"
    assert told.event.severity == "critical"
    assert parser.last == "7"
    for nonsense in ("data: {", "data: []", 'data: {"Events": 3}', "data: " + "[" * 100_000):
        assert parser.feed(nonsense) == parser.feed("") == []
    parser.feed('data: {"Events": [' + ",".join(['{"Message": "a"}'] * 150) + "]}")
    told_all = parser.feed("")
    assert len(told_all) == 101
    assert told_all[-1].event.code == "redfish_events_dropped"


@given(st.lists(st.text(max_size=80)))
def test_no_stream_breaks_the_parser(lines: list[str]) -> None:
    parser = Parser()
    for line in [*lines, ""]:
        parser.feed(line)


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("/redfish/v1/Chassis", "/redfish/v1/Chassis"),
        ("https://bmc/redfish/v1/x", "/redfish/v1/x"),
        ("https://evil/redfish/v1/x", None),
        ("//evil/redfish", None),
        ("https://bmc.evil/x", None),
        ("redfish/v1", None),
        ("http://[", None),
        ("", None),
        (None, None),
    ],
)
def test_no_link_leads_away_from_the_service(link: str | None, path: str | None) -> None:
    assert own_path(link, "https://bmc") == path


def test_retry_after() -> None:
    assert retry_after("30", 0.0) == 30.0
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10.0) == 50.0
    assert retry_after("soon", 0.0) is None
    assert retry_after(None, 0.0) is None


def test_the_shipped_maps() -> None:
    assert shipped_maps() == ("nvl72-rack", "plain")
    for name in shipped_maps():
        found = load_redfish_map(name)
        assert found.file.source.where
        assert not found.file.source.verified_on_hardware, "say so in the README too"
    rack = load_redfish_map("nvl72-rack")
    assert set(rack.parts(["gpus"])) - set(rack.parts()) == {"gpus"}
    assert rack.optional == ("gpus",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit: W}", "unit: kWh}", "unit 'kWh' cannot become 'W' of power_watts"),
        ("power_watts:", "power_wats:", "did you mean 'power_watts'"),
        ('"{device}-{id}"', '"{device}-{serial}"', "no placeholder '{serial}'"),
        ("kind: power", "kind: event", "events come from 'watch'"),
        ("Chassis/*", "/Chassis/*", "way"),
    ],
)
def test_a_wrong_map_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    source = Path(load_redfish_map.__code__.co_filename).parent / "maps" / "plain.yaml"
    text = source.read_text()
    assert old in text
    (tmp_path / "own.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigErrors) as caught:
        load_redfish_map("own.yaml", tmp_path)
    assert words in str(caught.value)
