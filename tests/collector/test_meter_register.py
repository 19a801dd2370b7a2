# SPDX-License-Identifier: Apache-2.0
"""What is kept of meters: their newest readings, and until when they are calibrated."""

from datetime import date
from math import sqrt

import pytest
from collecting import reading
from doubles import START_MS

from rackwatt.collector.ledger import Act
from rackwatt.collector.meters.metrics import meter_families
from rackwatt.collector.meters.readings import MeterReadings, kin, watched
from rackwatt.collector.meters.register import COMMISSIONED, commissionings, statuses
from rackwatt.collector.meters.sampling import Samples, family_of, probe_of
from rackwatt.collector.site import Site, site_of
from rackwatt.collector.watchkeeping.calibrations import calibrations_of
from rackwatt.wire.config import Document

TODAY = date(2026, 9, 21)
TEXT = """\
site: {id: demo, timezone: UTC, country: MA}
meters:
  - {id: grid-1, role: grid, class: 0.5, transformer_class: 0.5}
  - {id: main, sum: [ups-1, ups-2]}
  - {id: "ups-[1-2]"}
  - {id: "hall-[1-2]", role: it, position: pdu_output, parent: main, calibrated: 2024-01-01,
     calibration_due: 2026-01-01}
  - {id: gone, role: other, parent: main, state: out, calibration_due: 2020-01-01}
"""


@pytest.fixture
def site() -> Site:
    return site_of(Document("site.yaml", TEXT))


def act(meter: object, calibrated: str, due: str, seq: int = 7) -> Act:
    data = {"meter": meter, "certificate": "C-1", "calibrated": calibrated, "calibration_due": due}
    return Act(seq, START_MS, COMMISSIONED, data, "N. Idrissi", "commissioned")


# --- calibrations -------------------------------------------------------------------------


def test_the_later_calibration_counts_whoever_says_it(site: Site) -> None:
    renewed = commissionings([act("hall-1", "2026-02-01", "2028-02-01")])
    older = commissionings([act("hall-1", "2022-02-01", "2024-02-01")])
    assert statuses(site, renewed, START_MS)["hall-1"].due == date(2028, 2, 1)
    assert statuses(site, older, START_MS)["hall-1"].due == date(2026, 1, 1)


def test_overdue_are_those_in_use_whose_last_day_is_over(site: Site) -> None:
    known = statuses(site, {}, START_MS)
    assert "main" not in known, "a virtual meter is no thing"
    assert [name for name, one in known.items() if one.overdue(TODAY)] == ["hall-1", "hall-2"]
    assert not known["hall-1"].overdue(date(2026, 1, 1)), "its last day is a good one"
    values = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in meter_families("demo", known.values(), TODAY, site.timezone)
        for sample in family.samples
    }
    assert values["rackwatt_meters_calibration_overdue_number", ("demo",)] == 2
    assert values["rackwatt_meters_number", ("demo", "out")] == 1
    end = values["rackwatt_meters_calibration_due_timestamp_seconds", ("demo",)]
    assert end == 1_767_312_000, "midnight after 2026-01-01"


def test_a_handover_knows_what_a_commissioning_renewed(site: Site) -> None:
    found = calibrations_of(site, START_MS, [act("hall-1", "2026-02-01", "2028-02-01")])
    assert found == {"hall-1": date(2028, 2, 1), "hall-2": date(2026, 1, 1)}


def test_an_act_that_is_not_as_it_should_be_harms_nobody(site: Site) -> None:
    known = commissionings([act(3, "", ""), act("hall-1", "soon", "later")])
    assert known["hall-1"][0].calibrated is None
    assert statuses(site, known, START_MS)["hall-1"].due == date(2026, 1, 1)


# --- readings -----------------------------------------------------------------------------


def test_fields_of_several_readings_are_kept_together_and_old_ones_forgotten(site: Site) -> None:
    kept = MeterReadings(site)
    kept.observe("power", reading("ups-1", voltage_l1_volts=230.0, power_watts=1.0), START_MS)
    kept.observe("power", reading("ups-1", START_MS + 1000, power_watts=2.0), START_MS + 1100)
    kept.observe("power", reading("ups-1", START_MS - 1000, power_watts=3.0), START_MS + 1200)
    kept.observe("power", reading("nobody", power_watts=3.0), START_MS)
    kept.observe("coolant", reading("ups-2", heat_watts=3.0), START_MS)
    found = kept.of(["ups-1", "ups-2", "nobody"])
    assert list(found) == ["ups-1"]
    assert found["ups-1"]["values"] == {"voltage_l1_volts": 230.0, "power_watts": 2.0}
    assert found["ups-1"]["received"] == START_MS + 1100
    later = START_MS + 70_000
    kept.observe("power", reading("ups-1", later, power_watts=4.0), later)
    assert kept.of(["ups-1"])["ups-1"]["values"] == {"power_watts": 4.0}


def test_neighbours_are_those_that_hang_there(site: Site) -> None:
    assert kin(site, "hall-1", START_MS) == {
        "parent": ["main"],
        "siblings": ["hall-2"],
        "children": [],
    }
    assert watched(site, "hall-1", START_MS) == ["hall-1", "ups-1", "ups-2", "hall-2"]


CHAIN = """\
site: {id: demo, timezone: UTC, country: MA}
meters:
  - {id: grid-1, role: grid}
  - {id: main}
  - {id: "feed-[1-2]", role: it, position: pdu_output}
power_chain:
  assets:
    - {id: utility-1, kind: utility}
    - {id: board-1, kind: board}
    - {id: ups-1, kind: ups}
    - {id: "busway-[1-2]", kind: busway}
  edges:
    - {from: utility-1, to: ups-1, meter: grid-1}
    - {from: ups-1, to: board-1, meter: main}
    - {from: board-1, to: busway-1, meter: feed-1}
    - {from: board-1, to: busway-2, meter: FEED}
"""


def test_where_no_parent_is_named_the_power_chain_knows_the_neighbours() -> None:
    whole = site_of(Document("site.yaml", CHAIN.replace("FEED", "feed-2")))
    first = {"parent": ["main"], "siblings": ["feed-2"], "children": []}
    assert kin(whole, "feed-1", START_MS) == first
    # A UPS loses some: what feeds it is nobody's parent.
    over = {"parent": [], "siblings": [], "children": ["feed-1", "feed-2"]}
    assert kin(whole, "main", START_MS) == over
    assert not any(kin(whole, "grid-1", START_MS).values())


def test_a_feed_without_a_meter_leaves_the_sum_open() -> None:
    part = site_of(Document("site.yaml", CHAIN.replace(", meter: FEED", "")))
    assert not any(kin(part, "feed-1", START_MS).values())
    assert not any(kin(part, "main", START_MS).values())


def test_samples_count_each_reading_once_and_take_medians(site: Site) -> None:
    samples = Samples()
    powers = {"hall-1": 10.0, "hall-2": 20.0, "ups-1": 14.0, "ups-2": 16.0}
    for step, factor in enumerate((1.0, 1.0, 99.0, 1.0)):
        at = START_MS + 1000 * step
        said = {
            name: {"time": at, "received": at + 200, "values": {"power_watts": watts * factor}}
            for name, watts in powers.items()
        }
        for _ in range(2):
            samples.add({"time": at + 300, "readings": said})
    assert samples.readings("hall-1") == 4
    probe = probe_of(site, samples, "hall-1", START_MS)
    assert (probe.watts, set(probe.lags)) == (10.0, {0.2})
    family = family_of(site, samples, "hall-1", START_MS)
    assert family.parent is not None
    assert family.parent.watts == 30.0
    assert [one.watts for one in family.siblings] == [20.0]


def test_what_is_old_says_nothing(site: Site) -> None:
    samples = Samples()
    said = {"time": START_MS, "received": START_MS, "values": {"power_watts": 1.0}}
    samples.add({"time": START_MS + 60_000, "readings": {"grid-1": said}})
    probe = probe_of(site, samples, "grid-1", START_MS)
    assert (probe.watts, list(probe.lags), probe.both_ways) == (None, [], True)
    assert probe.accuracy == pytest.approx(sqrt(0.5) / 100 / sqrt(3))
