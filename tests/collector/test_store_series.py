# SPDX-License-Identifier: Apache-2.0
"""Series: found once, right at every time, and known for what may move."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from collecting import reading, small_site
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.site import Placement, Site
from rackwatt.collector.site.meters import Validity
from rackwatt.collector.site.topology import Places
from rackwatt.collector.store import rows_of
from rackwatt.collector.store.points import Points
from rackwatt.collector.store.series import SeriesBook

DAY = 86_400_000
BEGIN = 1_767_225_600_000  # 2026-01-01
R1, R9 = Placement("hall-a", "row-1", "r1"), Placement("hall-b", "row-9", "r9")
DEVICES = ["r1-n1/GPU-1", "r1-pdu", "mover", "mover/part", "node/GPU-1", "stranger", "r9-n1"]


def moving_site() -> Site:
    """The small site, with a device that moves on 2 January and is gone on the 4th."""
    site = small_site()
    stands = (
        (Validity(end_ms=BEGIN + DAY), R1),
        (Validity(BEGIN + DAY, BEGIN + 3 * DAY), R9),
    )
    fixed = MappingProxyType({**site.places.fixed, "node": R1})
    dated = MappingProxyType({"mover": stands, "node/GPU-1": stands[1:]})
    return replace(site, places=Places(fixed, dated))


SITE = moving_site()
ASKED = st.tuples(
    st.sampled_from(DEVICES),
    st.sampled_from(["snmp-a", "snmp-b", "meters"]),
    st.integers(BEGIN - DAY, BEGIN + 6 * DAY),
)


@given(st.lists(ASKED, max_size=30))
def test_a_book_says_what_the_site_says(asked: Sequence[tuple[str, str, int]]) -> None:
    book = SeriesBook(SITE)
    for device, agent, time_ms in asked:
        item = reading(device, time_ms, power_watts=1.0)
        (row,) = rows_of(SITE, "power", agent, [item])
        series = book.find("power", agent, device, time_ms)
        assert list(Points([series], [item.values], [time_ms])) == [row]
        assert book.find("power", agent, device, time_ms) is series


@given(st.lists(ASKED, min_size=2, max_size=30))
def test_a_span_that_it_holds_has_one_series(asked: Sequence[tuple[str, str, int]]) -> None:
    book = SeriesBook(SITE)
    found = [(d, t, book.find("power", agent, d, t)) for d, agent, t in asked]
    for device, time_ms, series in found:
        assert series.slot in {series.number, -1 - series.number}
        assert series.slot < 0 or series.span is None
        begin = time_ms - time_ms % DAY
        if series.holds(begin, begin + DAY):
            others = {
                id(other) for d, t, other in found if d == device and begin <= t < begin + DAY
            }
            assert others == {id(series)}


def test_a_device_that_two_agents_tell_of_may_stand_anywhere() -> None:
    book = SeriesBook(SITE)
    first = book.find("power", "snmp-a", "stranger", BEGIN)
    assert first.holds(BEGIN, BEGIN + DAY)
    assert dict(first.tags())["hall"] == "hall-a"
    second = book.find("power", "snmp-b", "stranger", BEGIN)
    assert dict(second.tags())["hall"] == "hall-b"
    assert not first.holds(BEGIN, BEGIN + DAY)
    assert not second.holds(BEGIN, BEGIN + DAY)
