# SPDX-License-Identifier: Apache-2.0
"""Energy down the tree: parts add up to the whole, unknown stays unknown, overhead follows IT."""

from collections.abc import Sequence
from math import fsum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.accounting.attribution import (
    BY_DIFFERENCE,
    SCALED,
    Amount,
    Part,
    divide,
    measured,
)
from rackwatt.collector.accounting.burdens import FIGURES, BusMix, Interval, burdens

CLOSE = 1e-9


def energies(whole: float | None, parts: Sequence[Part], **rule: bool) -> list[float | None]:
    amount = None if whole is None else Amount((whole,))
    found = divide(amount, parts, **rule).amounts
    return [None if a is None else a.watt_hours for a in found]


def meter(*values: float, gpus: float | None = None) -> Part:
    return Part(values, gpus=gpus, has_meter=True)


def test_the_remainder_goes_to_those_without_a_meter_by_their_gpus() -> None:
    parts = [meter(600.0, gpus=8), Part(gpus=1), Part(gpus=3)]
    assert energies(1000.0, parts) == pytest.approx([600.0, 100.0, 300.0])


def test_a_place_of_which_nobody_knows_the_gpus_weighs_like_the_others() -> None:
    parts = [Part(gpus=2), Part(gpus=6), Part()]
    assert energies(120.0, parts) == pytest.approx([20.0, 60.0, 40.0])
    assert energies(120.0, [Part(), Part()]) == pytest.approx([60.0, 60.0])
    assert energies(120.0, [Part(gpus=0), Part(gpus=0)]) == pytest.approx([60.0, 60.0])


def test_counters_come_first_then_gpu_time() -> None:
    """A node of 1000 Wh: GPUs counted 300, 200, 100 and one whose counter is unknown."""
    parts = [Part(counted=value, gpus=1) for value in (300.0, 200.0, 100.0, 0.0)]
    assert energies(1000.0, parts, by_gpus=True) == pytest.approx([400.0, 300.0, 200.0, 100.0])


def test_a_rack_draws_more_than_its_metered_nodes() -> None:
    parts = [meter(400.0, gpus=3), meter(400.0, gpus=1)]
    assert energies(1000.0, parts, by_gpus=True) == pytest.approx([550.0, 450.0])
    assert energies(1000.0, parts) == pytest.approx([500.0, 500.0])
    assert not divide(Amount((1000.0,)), parts, by_gpus=True).flags


@pytest.mark.parametrize("by_gpus", [False, True])
def test_children_that_say_more_are_scaled_and_flagged(by_gpus: bool) -> None:
    parts = [meter(300.0), meter(200.0)]
    found = divide(Amount((400.0,)), parts, by_gpus=by_gpus)
    assert [a.watt_hours for a in found.amounts if a] == pytest.approx([240.0, 160.0])
    assert found.flags == {SCALED}


def test_beside_children_that_say_more_nothing_is_left() -> None:
    found = divide(Amount((400.0,)), [meter(300.0), meter(200.0), Part(counted=5.0)])
    assert [a.watt_hours for a in found.amounts if a] == pytest.approx([240.0, 160.0, 0.0])
    assert found.flags == {SCALED}


def test_counters_that_say_more_are_scaled_too() -> None:
    found = divide(Amount((400.0,)), [Part(counted=300.0), Part(counted=500.0)])
    assert [a.watt_hours for a in found.amounts if a] == pytest.approx([150.0, 250.0])
    assert found.flags == {SCALED}
    found = divide(Amount((0.0,)), [Part(counted=300.0), Part(counted=500.0)])
    assert [a.watt_hours for a in found.amounts if a] == [0.0, 0.0]
    assert found.flags == {SCALED}


def test_a_silent_meter_gets_the_difference() -> None:
    found = divide(Amount((10.0, 20.0)), [meter(4.0, 5.0), Part(has_meter=True)])
    assert [a and a.resolved for a in found.amounts] == [(4.0, 5.0), (6.0, 15.0)]
    assert found.flags == {BY_DIFFERENCE}


def test_below_an_unknown_whole_only_meters_are_known() -> None:
    assert energies(None, [meter(4.0), Part(counted=3.0, gpus=4)]) == [4.0, None]
    assert energies(5.0, []) == []


def test_a_sum_needs_all_its_parts() -> None:
    assert measured([meter(1.0, 2.0), meter(3.0, 4.0)]) == (4.0, 6.0)
    assert measured([meter(1.0, 2.0), Part()]) is None
    assert measured([]) is None


amounts = st.floats(0.0, 1e6).map(lambda value: round(value, 3))
courses = st.tuples(amounts, amounts, amounts)
parts_ = st.builds(
    Part,
    metered=st.none() | courses,
    counted=amounts,
    gpus=st.none() | st.integers(0, 72).map(float),
    has_meter=st.booleans(),
)


@given(courses, st.floats(0.0, 1.0), st.lists(parts_, min_size=1, max_size=8), st.booleans())
def test_parts_add_up_to_the_whole(
    course: tuple[float, ...], factor: float, parts: list[Part], by_gpus: bool
) -> None:
    """In every interval, not only over the span."""
    whole = Amount(course, factor)
    found = divide(whole, parts, by_gpus=by_gpus).amounts
    assert len(found) == len(parts)
    resolved = [amount.resolved for amount in found if amount is not None]
    assert len(resolved) == len(parts)
    scale = max(fsum(whole.resolved), *(fsum(p.metered) for p in parts if p.metered), 1.0)
    for energy, column in zip(whole.resolved, zip(*resolved, strict=True), strict=True):
        assert fsum(column) == pytest.approx(energy, rel=CLOSE, abs=CLOSE * scale)
    sums = fsum(a.watt_hours for a in found if a is not None)
    assert sums == pytest.approx(whole.watt_hours, rel=CLOSE, abs=CLOSE * scale)


@given(courses, st.lists(parts_, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_children_does_not_matter(
    course: tuple[float, ...], parts: list[Part], chance: Any
) -> None:
    order = list(range(len(parts)))
    chance.shuffle(order)
    straight = divide(Amount(course), parts).amounts
    shuffled = divide(Amount(course), [parts[i] for i in order]).amounts
    for place, index in enumerate(order):
        one, other = straight[index], shuffled[place]
        assert one is not None
        assert other is not None
        assert other.watt_hours == pytest.approx(one.watt_hours, rel=CLOSE, abs=1e-6)


# --- what comes with IT energy ------------------------------------------------------------------


def interval(it: float | None, load: float | None, *, pv: float = 0.5, grams: float = 400.0) -> Any:
    origins = None if load is None else {"pv": load * pv, "grid": load * (1.0 - pv)}
    mass = None if load is None else load * grams / 1000.0
    free = None if origins is None else origins["pv"] + 0.25 * origins["grid"]
    return Interval(it, load, {"life_cycle": mass, "operational": mass}, origins, free)


def of(found: Sequence[float | None]) -> dict[str, float | None]:
    return dict(zip(FIGURES, found, strict=True))


def test_overhead_follows_it_interval_by_interval() -> None:
    found = burdens([interval(100.0, 150.0, grams=100.0), interval(300.0, 330.0, grams=500.0)])
    day, night = of(found.of((50.0, 0.0))), of(found.of((0.0, 150.0)))
    assert day["load"] == pytest.approx(75.0)
    assert day["life_cycle"] == pytest.approx(7.5)
    assert night["load"] == pytest.approx(165.0)
    assert night["operational"] == pytest.approx(82.5)
    assert night["pv"] == pytest.approx(82.5)
    assert night["carbon_free"] == pytest.approx(82.5 + 0.25 * 82.5)
    half = of(found.of((100.0, 300.0), 0.5))
    assert half["load"] == pytest.approx(240.0)


def test_overhead_without_it_is_carried_by_the_rest_of_the_span() -> None:
    found = burdens([interval(0.0, 50.0), interval(100.0, 150.0)])
    assert of(found.of((0.0, 60.0)))["load"] == pytest.approx(120.0)
    assert set(found.stranded) == {0.0}
    alone = burdens([interval(0.0, 50.0)])
    assert of(alone.of((0.0,)))["load"] == 0.0
    assert of(alone.stranded)["load"] == 50.0


def test_unknown_burdens_stay_unknown() -> None:
    found = burdens([interval(100.0, None), interval(100.0, 120.0)])
    assert of(found.of((1.0, 1.0)))["load"] is None
    # What drew nothing then has nothing of it.
    assert of(found.of((0.0, 1.0)))["load"] == pytest.approx(1.2)
    unclear = burdens([interval(None, 100.0), interval(0.0, 50.0)])
    assert of(unclear.of((1.0, 0.0)))["load"] is None
    assert of(unclear.of((0.0, 0.0)))["load"] == 0.0
    nothing = burdens([Interval(0.0, 0.0, {}, None), interval(10.0, 12.0)])
    assert of(nothing.of((0.0, 10.0)))["load"] == pytest.approx(12.0)
    assert of(burdens([]).of(()))["load"] == 0.0


def bus(it: float | None, pv: float | None, grams: float | None) -> BusMix:
    shares = None if pv is None else {"pv": pv, "grid": 1.0 - pv}
    return BusMix(it, shares, {"life_cycle": grams, "operational": grams})


def meshed(north: BusMix, south: BusMix, it: float | None, load: float, *, pv: float) -> Interval:
    origins = {"pv": pv, "grid": load - pv}
    carbon = {"life_cycle": 90.0, "operational": 90.0}
    free = pv + 0.25 * (load - pv)
    return Interval(it, load, carbon, origins, free, {"north": north, "south": south})  # type: ignore[arg-type]


def test_a_hall_on_another_bus_has_that_bus_s_mix() -> None:
    found = burdens([meshed(bus(100.0, 1.0, 50.0), bus(100.0, 0.0, 600.0), 200.0, 240.0, pv=120.0)])
    north, south = of(found.of((100.0,), bus="north")), of(found.of((100.0,), bus="south"))
    # 5 g and 60 g of their own, and 12.5 g each of the 25 g that the overhead caused.
    assert north["life_cycle"] == pytest.approx(17.5)
    assert south["life_cycle"] == pytest.approx(72.5)
    assert north["pv"] == pytest.approx(110.0)
    assert south["pv"] == pytest.approx(10.0)
    assert (north["carbon_free"] or 0) + (south["carbon_free"] or 0) == pytest.approx(150.0)
    assert of(found.of((1.0,), bus="elsewhere")) == of(found.of((1.0,)))


def test_an_unknown_bus_makes_only_what_depends_on_it_unknown() -> None:
    found = burdens([meshed(bus(100.0, None, None), bus(100.0, 0.0, 600.0), 200.0, 240.0, pv=9.0)])
    north = of(found.of((100.0,), bus="north"))
    assert north["life_cycle"] is None
    assert north["pv"] is None
    assert north["load"] == pytest.approx(120.0)
    empty = burdens([meshed(bus(0.0, None, None), bus(200.0, 0.5, 300.0), 200.0, 240.0, pv=9.0)])
    assert of(empty.of((200.0,), bus="south"))["life_cycle"] == pytest.approx(90.0)
    gone = burdens([interval(10.0, 12.0), meshed(bus(1.0, 1, 1), bus(1.0, 1, 1), 2.0, 3.0, pv=3.0)])
    assert of(gone.of((10.0, 0.0), bus="north"))["load"] == pytest.approx(12.0)
    new = Interval(1.0, 3.0, {}, None, None, {"east": bus(1.0, 1.0, 1.0)})
    later = burdens([new, meshed(bus(1.0, 1, 1), bus(1.0, 1, 1), 2.0, 3.0, pv=3.0)])
    assert of(later.of((0.0, 1.0), bus="east"))["load"] == pytest.approx(1.5)
    blind = meshed(bus(1.0, 1.0, 1.0), bus(1.0, 1.0, 1.0), None, 3.0, pv=3.0)
    assert of(burdens([blind]).of((1.0,), bus="north"))["load"] is None


watt_hours = st.floats(0.01, 1e6)


@given(
    st.lists(st.tuples(watt_hours, watt_hours, watt_hours, watt_hours), min_size=1, max_size=5),
    st.floats(0.0, 1.0),
)
def test_halls_on_two_buses_add_up_to_the_site(
    minutes: list[tuple[float, float, float, float]], split: float
) -> None:
    intervals: list[Interval] = []
    for it_north, it_south, cooling, losses in minutes:
        # Cooling hangs on the north bus, losses on the south one.
        north, south = bus(it_north, 0.8, 120.0), bus(it_south, 0.1, 590.0)
        on_north, on_south = it_north + cooling, it_south + losses
        pv = 0.8 * on_north + 0.1 * on_south
        grams = (120.0 * on_north + 590.0 * on_south) / 1000.0
        load = on_north + on_south
        intervals.append(
            Interval(
                it_north + it_south,
                load,
                {"life_cycle": grams, "operational": grams},
                {"pv": pv, "grid": load - pv},
                pv + 0.2 * (load - pv),
                {"north": north, "south": south},
            )
        )
    found = burdens(intervals)
    norths = tuple(minute[0] for minute in minutes)
    souths = tuple(minute[1] for minute in minutes)
    places = [
        found.of(norths, split, "north"),
        found.of(norths, 1.0 - split, "north"),
        found.of(souths, 1.0, "south"),
    ]
    whole = [
        fsum(v or 0.0 for v in column)
        for column in zip(*(i.values for i in intervals), strict=True)
    ]
    for figure, column in enumerate(zip(*places, strict=True)):
        scale = max(abs(v or 0.0) for v in column) + whole[0]
        assert fsum(v or 0.0 for v in column) == pytest.approx(
            whole[figure], rel=CLOSE, abs=CLOSE * scale
        )
