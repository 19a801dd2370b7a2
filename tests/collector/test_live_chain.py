# SPDX-License-Identifier: Apache-2.0
"""The chains of now: from readings to loads, risks, room, redundancy, ride-through and metrics."""

import json
from math import sqrt
from pathlib import Path

import pytest

from rackwatt.collector.live.chain import ChainState, LiveChains
from rackwatt.collector.live.chain_metrics import chain_families
from rackwatt.collector.live.chain_plan import Plans
from rackwatt.collector.live.chain_view import feed, overview, rack
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.wire.codec import ReceivedReading
from rackwatt.wire.readings import Kind

NOW = 1_790_000_000_000
PDU_AMPERES = (15.0, 13.0, 12.0)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path("docs/examples/site-chains.yaml"))


class House:
    """A site whose every PDU and CDU has spoken."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.devices = Devices(site)
        for one in site.racks:
            for pdu in one.pdus:
                self.power(pdu, *PDU_AMPERES)
        for cdu in ("cdu-a1", "cdu-a2"):
            values = {"return_temperature_celsius": 45.0, "pumps_running_number": 2.0}
            self.say("coolant", cdu, **values)

    def power(self, device: str, *amperes: float) -> None:
        names = ("current_l1_amperes", "current_l2_amperes", "current_l3_amperes")
        currents = dict(zip(names, amperes, strict=True))
        self.say("power", device, power_watts=sum(amperes) * 400 / sqrt(3), **currents)

    def say(self, kind: Kind, device: str, **values: float | None) -> None:
        self.devices.observe(kind, ReceivedReading(device, NOW, dict(values)), NOW)

    def state(self, *maintenance: str) -> ChainState:
        return LiveChains(self.site, self.devices).state(NOW, maintenance)


@pytest.fixture
def house(site: Site) -> House:
    return House(site)


def test_edges_carry_what_their_meters_say_or_what_is_below(house: House) -> None:
    state = house.state()
    pdu = state.edges["busway-a-row-1>r1-01-pdu-a"]
    assert pdu.load.amperes == PDU_AMPERES
    assert pdu.ratio == pytest.approx(15 / 50.4)
    assert pdu.phase == 1
    trunk = state.edges["ups-a>busway-a-row-1"]
    assert not trunk.load.measured
    assert trunk.load.amperes == pytest.approx(tuple(8 * a for a in PDU_AMPERES))
    whole = state.edges["utility-1>tr-a"].load.watts
    assert whole is not None
    assert state.losses_watts is not None
    sold = 2 * whole - state.losses_watts
    assert sold == pytest.approx(32 * sum(PDU_AMPERES) * 400 / sqrt(3))


def test_one_phase_of_a_pdu_at_risk_is_seen_at_the_rack(house: House) -> None:
    house.power("r1-01-pdu-a", 26, 20, 20)
    house.power("r1-01-pdu-b", 25, 20, 20)
    state = house.state()
    after = state.failovers["busway-a-row-1>r1-01-pdu-a"]
    assert after.at_risk
    assert after.phase == 1
    racks = {one["id"]: one for one in feed(house.site.chains.power, state, "busway-a-row-1")}
    assert len(racks) == 8
    assert racks["r1-01"]["at_risk"]
    assert racks["r1-02"]["at_risk"] is False


def test_a_silent_pdu_makes_its_way_up_unknown(house: House) -> None:
    house.say("power", "r1-01-pdu-a", power_watts=None, current_l1_amperes=None)
    state = house.state()
    assert state.edges["ups-a>busway-a-row-1"].load.amperes[0] is None
    assert state.room is not None
    assert "r1-01" in state.room.unknown


def test_ride_through_and_redundancy(house: House) -> None:
    state = house.state("ups-b")
    joules = (25 * 3900 + 100 * 385) * 20
    watts = 2 * sum(PDU_AMPERES) * 400 / sqrt(3)
    assert state.ride_through["r1-01"] == pytest.approx(joules / watts)
    assert state.groups["ups"].state == "N"
    assert state.groups["chillers"].state == "N+1"
    assert state.pumps["cdu-a1"].state == "N+1"
    house.say("coolant", "cdu-a1", pumps_running_number=0.0, return_temperature_celsius=None)
    state = house.state()
    assert state.pumps["cdu-a1"].state == "below N"
    assert state.ride_through["r1-01"] is None


def test_the_overview_sums_racks_up_and_is_json(house: House) -> None:
    found = json.loads(json.dumps(overview(house.site.chains, house.state()), allow_nan=False))
    kinds = {asset["kind"] for asset in found["power"]["assets"]}
    assert kinds == {"utility", "genset", "transformer", "board", "ups", "busway"}
    under = found["power"]["under"]["busway-a-row-1"]
    assert (under["racks"], under["at_risk"], under["unknown"]) == (8, 0, 0)
    assert under["ride_through_seconds"] == pytest.approx(147.2, abs=0.1)
    assert found["cooling"]["under"]["cdu-a1"]["racks"] == 8
    assert found["capacity"]["feeds_at_risk"] == 0
    assert found["capacity"]["sellable_watts"] > 0


def test_a_racks_ways(house: House) -> None:
    found = json.loads(json.dumps(rack(house.site.chains, house.state(), "r2-03")))
    names = {asset["id"] for asset in found["power"]["assets"]}
    assert {"utility-1", "tr-a", "tr-b", "busway-a-row-2", "r2-03-pdu-b", "r2-03"} <= names
    assert "busway-a-row-1" not in names
    assert {asset["id"] for asset in found["cooling"]["assets"]} >= {"chiller-1", "cdu-a2"}
    assert found["sides"] == ["A", "B"]
    with pytest.raises(KeyError):
        rack(house.site.chains, house.state(), "r9-99")


def test_banks_levels_and_the_worst_feeds(house: House) -> None:
    house.power("r1-01-pdu-a", 30, 20, 20)
    house.power("r1-01-pdu-b", 25, 20, 20)
    plans = Plans.of_site(house.site)
    found = overview(house.site.chains, house.state(), plans)["power"]
    banks = {bank["id"]: bank for bank in found["banks"]}
    assert set(banks) == {"row-1", "row-2"}
    assert banks["row-1"]["feeds"] == ["busway-a-row-1", "busway-b-row-1"]
    assert (banks["row-1"]["racks"], banks["row-1"]["at_risk"]) == (8, 1)
    assert {asset["hall"] for asset in found["assets"]} == {"hall-a"}
    worst = found["risks"][0]
    assert worst["target"] == "r1-01-pdu-a"
    assert worst["failover_ratio"] == pytest.approx(55 / 50.4)
    assert worst["kind"] == "rack_pdu"
    levels = {level["kind"]: level for level in found["levels"]}
    assert list(levels) == ["transformer", "board", "ups", "busway", "rack_pdu"]
    assert levels["rack_pdu"]["feeds"] == 32
    assert levels["rack_pdu"]["failover_feed"].startswith("busway-b-row-1>r1-01")  # as bad as A
    volts = 400 / sqrt(3)
    left = 15 * (50.4 - 30) * 3 * volts
    assert levels["rack_pdu"]["headroom_watts"] == pytest.approx(left)


def test_racks_below_a_feed_at_risk_are_at_risk(house: House) -> None:
    for number in range(1, 9):
        for side in "ab":
            house.power(f"r1-0{number}-pdu-{side}", 22, 15, 15)
    state = house.state()
    assert state.failovers["ups-a>busway-a-row-1"].at_risk
    racks = feed(house.site.chains.power, state, "busway-b-row-1")
    assert [one["at_risk"] for one in racks] == [True] * 8
    cooled = feed(house.site.chains.cooling, state, "cdu-a2", house.site.chains.power)
    assert [one["at_risk"] for one in cooled] == [False] * 8


def test_metrics(house: House) -> None:
    power = house.site.chains.power
    sides = {edge.id: power.side(edge) for edge in power.edges}
    found = {f.name: f for f in chain_families("demo", house.state(), sides)}
    ratios = {s.labels["feed"]: s for s in found["rackwatt_feed_load_ratio"].samples}
    one = ratios["busway-a-row-1>r1-01-pdu-a"]
    assert one.labels["side"] == "A"
    assert one.value == pytest.approx(15 / 50.4)
    assert "r1-01-pdu-a>r1-01" not in ratios
    assert len(found["rackwatt_ride_through_seconds"].samples) == 16
    spare = {s.labels["group"]: s.value for s in found["rackwatt_redundancy_spare_number"].samples}
    assert spare == {"ups": 1, "chillers": 1, "cdu-a1": 1, "cdu-a2": 1}


def test_power_and_currents_are_told_of_the_feeds_that_are_asked_for(house: House) -> None:
    house.power("r1-01-pdu-a", 11, 12, 13)
    state, feed_id = house.state(), "busway-a-row-1>r1-01-pdu-a"
    whole = {f.name: f.samples for f in chain_families("demo", state, {})}
    currents = {
        s.labels["phase"]: s.value
        for s in whole["rackwatt_feed_current_amperes"]
        if s.labels["feed"] == feed_id
    }
    assert currents == {"L1": 11, "L2": 12, "L3": 13}
    (one,) = [s for s in whole["rackwatt_feed_power_watts"] if s.labels["feed"] == feed_id]
    assert one.value == state.edges[feed_id].load.watts
    some = {f.name: f.samples for f in chain_families("demo", state, {}, {feed_id})}
    assert len(some["rackwatt_feed_current_amperes"]) == 3
    assert len(some["rackwatt_feed_power_watts"]) == 1
    assert len(some["rackwatt_feed_load_ratio"]) == len(whole["rackwatt_feed_load_ratio"])


def test_a_site_without_chains_has_none() -> None:
    site = load_site(Path("docs/examples/site.yaml"))
    state = LiveChains(site, Devices(site)).state(NOW)
    assert chain_families("demo", state, {}) == []
    assert overview(site.chains, state)["power"] is None
