# SPDX-License-Identifier: Apache-2.0
"""Feeds: powered, dead while the other side carries, or unknown; and what their meters say."""

from collections.abc import Iterable, Mapping
from math import sqrt
from pathlib import Path

import pytest

from rackwatt.collector.live.chain import LiveChains
from rackwatt.collector.live.devices import FRESH_MS, Devices
from rackwatt.collector.signals.feeds import Feeds
from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.wire.codec import ReceivedReading

NOW = 1_790_000_000_000
LEAF = "row-1-busway-a>r1-01-pdu-a"
TRUNK = "ups-a>row-1-busway-a"


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path("docs/examples/site-demo.yaml"))


class Floor:
    """The demo's PDUs, each of which says a power when it is asked to."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.devices = Devices(site)
        self.chains = LiveChains(site, self.devices)
        places = {rack.id: (rack.hall, rack.row) for rack in site.racks}
        self.feeds = Feeds(site.chains.power, places)
        self.pdus = [pdu for rack in site.racks for pdu in rack.pdus]
        self.now = NOW

    def say(self, powers: Mapping[str, float], others: float | None = 3_000.0) -> None:
        """A round later; the PDUs that are not named say `others`, or nothing."""
        self.now += FRESH_MS + 1
        for pdu in self.pdus:
            watts = powers.get(pdu, others)
            if watts is None:
                continue
            amperes = watts / 3 / (400 / sqrt(3))
            values: dict[str, float | None] = {f"current_l{n}_amperes": amperes for n in (1, 2, 3)}
            item = ReceivedReading(pdu, self.now, {"power_watts": watts, **values})
            self.devices.observe("power", item, self.now)

    def up(self) -> dict[str, bool]:
        states = self.chains.state(self.now).edges
        return {edge.id: alive for edge, alive in self.feeds.up(states)}

    def silent(self, names: Iterable[str], others: float) -> None:
        keep = set(self.pdus) - set(names)
        self.say(dict.fromkeys(keep, others), None)


@pytest.fixture
def floor(site: Site) -> Floor:
    return Floor(site)


def row_a() -> list[str]:
    return [f"r1-{n:02}-pdu-a" for n in range(1, 9)]


def test_all_is_up_and_feeds_in_series_are_told_once(floor: Floor) -> None:
    floor.say({})
    up = floor.up()
    assert all(up.values())
    assert {LEAF, TRUNK, "board-a>ups-a"} <= up.keys()
    assert "utility-a>tr-a" not in up


def test_nothing_known_is_nothing_told(floor: Floor) -> None:
    assert floor.up() == {}


def test_silent_meters_alone_are_no_lost_feed(floor: Floor) -> None:
    floor.say({})
    floor.up()
    floor.silent(row_a(), 3_000.0)
    up = floor.up()
    assert TRUNK not in up
    assert LEAF not in up


def test_silence_and_a_load_taken_over_are_and_hold_until_it_speaks(floor: Floor) -> None:
    floor.say({})
    floor.up()
    floor.silent(row_a(), 6_000.0)
    up = floor.up()
    assert up[TRUNK] is False
    assert LEAF not in up, "below a dead feed nothing is told"
    assert up["ups-b>row-1-busway-b"] is True
    floor.silent(row_a(), 2_000.0)
    assert floor.up()[TRUNK] is False
    floor.say({})
    assert floor.up()[TRUNK] is True


def test_a_dead_feeds_last_reading_passes_for_fresh_while_the_other_side_rises(
    floor: Floor,
) -> None:
    floor.say({})
    floor.up()
    for _ in range(15):  # half a minute of looks
        floor.now -= FRESH_MS + 1  # the dead ones' last words are still believed
        floor.silent(row_a(), 6_000.0)
        assert floor.up()[TRUNK] is True
    floor.silent(row_a(), 6_000.0)
    assert floor.up()[TRUNK] is False


def test_a_meter_at_nothing_beside_a_loaded_one_is_dead(floor: Floor) -> None:
    floor.say({"r1-01-pdu-a": 0.0})
    assert floor.up()[LEAF] is False


def test_a_rack_that_is_off_says_nothing_of_its_feeds(floor: Floor) -> None:
    floor.say({"r1-01-pdu-a": 0.0, "r1-01-pdu-b": 0.0})
    assert LEAF not in floor.up()


def test_meters_are_counted_by_row_and_side(floor: Floor) -> None:
    floor.say({})
    floor.silent(row_a()[:3], 3_000.0)
    meters, silent = floor.feeds.meters(floor.chains.state(floor.now).edges)
    assert meters["hall-a", "row-1", "A"] == 8
    assert silent["hall-a", "row-1", "A"] == 3
    assert silent["hall-a", "row-1", "B"] == 0
