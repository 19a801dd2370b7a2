# SPDX-License-Identifier: Apache-2.0
"""The safety rules: what trips, what holds, and the laws that no sequence of values may break."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.agents.safety.baseline import Baseline
from rackwatt.agents.safety.engine import Alarm, Change, Engine, Moment
from rackwatt.agents.safety.latch import Latch, Verdict
from rackwatt.agents.safety.limits import RULES, Limits, RuleName
from rackwatt.agents.safety.rules import Loop, rule_of
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Sample

T0 = 1_790_000_000_000
HEALTHY = {
    "leak_ratio": 0.0,
    "pumps_running_number": 2.0,
    "flow_liters_per_second": 10.0,
    "facility_flow_liters_per_second": 11.0,
    "level_ratio": 0.87,
    "supply_temperature_celsius": 32.0,
    "differential_pressure_pascals": 100_000.0,
    "pump_speed_ratio": 0.8,
}
LOOP = Loop(
    "cdu", Limits(), RULES, set_point_celsius=32.0, pumps_needed=1, dew_point_celsius=15.0,
    operator_reset=frozenset({"leak"}),
)  # fmt: skip
BAD: dict[RuleName, dict[str, float]] = {
    "leak": {"leak_ratio": 1.0},
    "pumps": {"pumps_running_number": 0.0},
    "pump_redundancy": {"pumps_running_number": 1.0},
    "flow": {"flow_liters_per_second": 0.4},
    "facility_flow": {"facility_flow_liters_per_second": 0.0},
    "level": {"level_ratio": 0.49},
    "level_falling": {"level_ratio": 0.81},
    "supply_temperature": {"supply_temperature_celsius": 35.1},
    "differential_pressure": {"differential_pressure_pascals": 84_000.0},
    "dew_point": {"supply_temperature_celsius": 16.9},
}


class Bench:
    """An engine and a clock; a round per call."""

    def __init__(self, loop: Loop = LOOP, latched: Sequence[Alarm] = ()) -> None:
        self.engine = Engine([loop], latched)
        self.seconds = 1000.0

    @property
    def now(self) -> Moment:
        return Moment(T0 + round(self.seconds * 1000), self.seconds)

    def round(self, **values: float | None) -> list[Change]:
        """One round, a second after the last; what is not named is healthy."""
        self.seconds += 1.0
        sample = Sample("coolant", "cdu", {**HEALTHY, **values})
        return self.engine.take(self.now, [sample])

    def rounds(self, count: int, **values: float | None) -> list[str]:
        return [c.alarm.rule for _ in range(count) for c in self.round(**values)]

    def silent(self, count: int, *samples: Sample) -> list[str]:
        found = []
        for _ in range(count):
            self.seconds += 1.0
            found += [c.alarm.rule for c in self.engine.take(self.now, samples)]
        return found

    @property
    def on(self) -> set[str]:
        return {alarm.rule for alarm in self.engine.active}


def only(rule: RuleName, **changes: Any) -> Loop:
    return replace(LOOP, rules=(rule,), **changes)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_trips_within_its_time_holds_and_clears(rule: RuleName) -> None:
    bench = Bench(only(rule, operator_reset=frozenset()))
    assert bench.rounds(700) == []
    seconds = {"leak": 1, "supply_temperature": 11}.get(rule, 3)
    assert bench.rounds(seconds - 1, **BAD[rule]) == []
    assert bench.rounds(1, **BAD[rule]) == [rule]
    assert bench.rounds(1000, **BAD[rule]) == []
    assert bench.on == {rule}
    assert bench.rounds(60) == []
    assert bench.rounds(1) == [rule]
    assert bench.on == set()


def test_a_healthy_loop_is_quiet_and_one_that_drifts_slowly_too() -> None:
    bench = Bench()
    for i in range(3000):
        assert bench.round(differential_pressure_pascals=100_000.0 - 10 * i) == []


def test_supply_above_its_set_point_for_less_than_its_time_is_quiet() -> None:
    bench = Bench()
    for _ in range(20):
        assert bench.rounds(9, supply_temperature_celsius=40.0) == []
        assert bench.rounds(1) == []


def test_a_fallen_pressure_never_becomes_the_normal_one() -> None:
    bench = Bench(only("differential_pressure"))
    bench.rounds(600)
    assert bench.rounds(5, differential_pressure_pascals=80_000.0) == ["differential_pressure"]
    assert bench.rounds(5000, differential_pressure_pascals=80_000.0) == []
    assert bench.on
    bench.rounds(61)
    assert not bench.on


def test_a_fall_too_early_to_be_known_is_no_alarm_and_no_blindness() -> None:
    bench = Bench(only("differential_pressure"))
    assert bench.rounds(30) + bench.rounds(30, differential_pressure_pascals=10_000.0) == []


def test_pressure_by_speed_follows_the_load_and_sees_a_lost_pump() -> None:
    limits = Limits(pressure_basis="pump_speed")
    bench = Bench(only("differential_pressure", limits=limits))
    for i in range(600):
        speed = 0.9 - 0.0005 * i
        low = bench.round(
            pump_speed_ratio=speed, differential_pressure_pascals=120_000.0 * speed**2
        )
        assert low == []
    found = bench.rounds(3, pump_speed_ratio=0.6, differential_pressure_pascals=25_000.0)
    assert found == ["differential_pressure"]
    assert Bench(only("differential_pressure")).rounds(100) == []


def test_standing_pumps_have_no_pressure_to_fall() -> None:
    bench = Bench(only("differential_pressure"))
    bench.rounds(600, differential_pressure_pascals=500.0)
    assert bench.rounds(60, differential_pressure_pascals=0.0) == []


def test_a_level_that_fell_is_healthy_only_when_refilled_or_looked_after() -> None:
    bench = Bench(only("level_falling"))
    bench.rounds(600)
    assert bench.rounds(3, level_ratio=0.8) == ["level_falling"]
    assert bench.rounds(2000, level_ratio=0.84) == []
    assert bench.on
    (alarm,) = bench.engine.active
    assert alarm.reference == pytest.approx(0.87)
    change = bench.engine.reset("cdu", "level_falling", bench.now)
    assert isinstance(change, Change)
    assert change.what == "reset"
    assert bench.rounds(2000, level_ratio=0.84) == []


def test_a_leak_ends_only_by_an_operator_and_only_while_it_is_dry() -> None:
    bench = Bench(only("leak"))
    assert bench.rounds(1, leak_ratio=1.0) == ["leak"]
    assert isinstance(bench.engine.reset("cdu", "leak", bench.now), str)
    bench.rounds(10_000)
    assert bench.on == {"leak"}
    bench.rounds(1, leak_ratio=None)
    assert "missing" in str(bench.engine.reset("cdu", "leak", bench.now))
    bench.rounds(1)
    assert isinstance(bench.engine.reset("cdu", "leak", bench.now), Change)
    assert bench.on == set()
    assert "not on" in str(bench.engine.reset("cdu", "leak", bench.now))
    assert "not watched" in str(bench.engine.reset("cdu-2", "leak", bench.now))


def test_a_loop_that_falls_silent_is_an_alarm_and_ends_none() -> None:
    bench = Bench()
    bench.rounds(3, pumps_running_number=1.0)
    assert bench.silent(9) == []
    assert bench.silent(1) == ["blind"]
    bench.silent(10_000)
    assert bench.on == {"blind", "pump_redundancy"}
    text = next(a.text for a in bench.engine.active if a.rule == "blind")
    assert all(name in text for name in RULES)
    assert sorted(bench.rounds(61)) == ["blind", "pump_redundancy"]


def test_one_field_that_a_device_does_not_have_is_named() -> None:
    bench = Bench()
    assert bench.rounds(11, leak_ratio=None) == ["blind"]
    (alarm,) = bench.engine.active
    assert alarm.text == "not measured: leak"
    bench.rounds(11, leak_ratio=None, level_ratio=None)
    (alarm,) = bench.engine.active
    assert alarm.text == "not measured: leak, level, level_falling"


@pytest.mark.parametrize("nonsense", [None, float("nan"), float("inf"), -1.0, 1e9])
def test_nonsense_is_not_measured(nonsense: float | None) -> None:
    bench = Bench(only("level", operator_reset=frozenset()))
    bench.rounds(3, level_ratio=0.1)
    assert bench.rounds(8, level_ratio=nonsense) == []
    assert bench.on == {"level"}


def test_an_estimated_value_raises_and_does_not_end() -> None:
    bench = Bench(only("level"))
    estimated = {"level_ratio": Quality.ESTIMATED}
    low = Sample("coolant", "cdu", {"level_ratio": 0.1}, estimated)
    full = Sample("coolant", "cdu", {"level_ratio": 0.9}, estimated)
    assert bench.silent(3, low) == ["level"]
    assert bench.silent(200, full) == []
    assert bench.on == {"level"}


def test_values_between_the_limits_neither_raise_nor_end() -> None:
    bench = Bench(only("supply_temperature"))
    assert bench.rounds(100, supply_temperature_celsius=35.0) == []
    bench.rounds(11, supply_temperature_celsius=36.0)
    assert bench.rounds(500, supply_temperature_celsius=34.5) == []
    assert bench.on
    bench.rounds(61, supply_temperature_celsius=34.0)
    assert not bench.on


class TestDewPoint:
    loop = only("dew_point", dew_point_celsius=None, dew_point_devices=("a", "b"))

    def bench(self) -> Bench:
        return Bench(self.loop)

    @staticmethod
    def air(name: str, **values: float | None) -> Sample:
        return Sample("climate", name, values)

    def test_the_dampest_of_several_counts(self) -> None:
        coolant = Sample("coolant", "cdu", HEALTHY)
        dry, damp = (self.air(n, dew_point_celsius=d) for n, d in (("a", 10.0), ("b", 30.5)))
        bench = self.bench()
        assert bench.silent(2, coolant, dry, damp) == []
        assert bench.silent(1, coolant, dry, damp) == ["dew_point"]
        assert "1.5 K" in bench.engine.active[0].text
        # Only the dry one still speaks: no end, for the other may be as damp as before.
        assert bench.silent(500, coolant, dry) == []
        assert bench.on == {"dew_point"}
        assert bench.silent(61, coolant, dry, self.air("b", dew_point_celsius=20.0))[-1:]
        assert bench.on == set()

    def test_it_is_reckoned_from_temperature_and_humidity(self) -> None:
        coolant = Sample("coolant", "cdu", HEALTHY)
        # 35 °C and 85 % have a dew point of 32.1 °C.
        damp = [self.air(n, temperature_celsius=35.0, humidity_ratio=0.85) for n in ("a", "b")]
        bench = self.bench()
        assert bench.silent(3, coolant, *damp) == ["dew_point"]
        assert bench.engine.active[0].value == pytest.approx(32.0 - 32.1, abs=0.1)

    def test_without_any_it_is_blind(self) -> None:
        bench = self.bench()
        assert bench.silent(11, Sample("coolant", "cdu", HEALTHY)) == ["blind"]


def test_what_was_on_is_on_after_a_restart() -> None:
    bench = Bench()
    bench.rounds(600)
    bench.rounds(3, differential_pressure_pascals=80_000.0, leak_ratio=1.0)
    before = bench.engine.active
    assert {alarm.rule for alarm in before} == {"leak", "differential_pressure"}
    again = Bench(latched=before)
    assert set(again.engine.active) == set(before)
    assert again.rounds(200, differential_pressure_pascals=80_000.0) == []
    assert again.rounds(61) == ["differential_pressure"]
    assert again.on == {"leak"}


def test_alarms_that_the_settings_no_longer_have_are_named() -> None:
    alarms = [Alarm("cdu", "leak", T0, 1, 0, ""), Alarm("old", "leak", T0, 1, 0, "")]
    engine = Engine([only("level")], alarms)
    assert engine.active == ()
    assert engine.unwatched == tuple(alarms)


def test_a_rule_without_what_it_needs_is_refused() -> None:
    bare = replace(LOOP, set_point_celsius=None, pumps_needed=None)
    for rule in ("pumps", "pump_redundancy", "supply_temperature"):
        with pytest.raises(ValueError, match=rule):
            rule_of(rule, bare)


# -- laws ---------------------------------------------------------------------------------------

SEEN = {
    "bad": Verdict(1.0, 0.0, bad=True, healthy=False),
    "between": Verdict(0.0, 0.0, bad=False, healthy=False),
    "healthy": Verdict(-1.0, 0.0, bad=False, healthy=True),
    "missing": None,
}
steps = st.lists(
    st.tuples(st.sampled_from(sorted(SEEN)), st.sampled_from([0.1, 1.0, 3.0, 20.0])), max_size=60
)


@given(steps, st.sampled_from([0.0, 2.0, 10.0]), st.sampled_from([1.0, 5.0]), st.booleans())
def test_laws_of_the_latch(
    history: list[tuple[str, float]], confirm: float, clear: float, needs_reset: bool
) -> None:
    latch = Latch(confirm, clear, 10.0, needs_reset=needs_reset)
    seconds, run, bad_since = 0.0, 0.0, None
    for what, wait in history:
        seconds += wait
        # The run of healthy values without a break, reckoned independently.
        goes_on = run > 0.0 and wait <= 10.0
        run = 0.0 if what != "healthy" else run + wait if goes_on else 1e-9
        was = latch.active
        step = latch.take(seconds, SEEN[what])
        if what == "bad" and bad_since is None:
            bad_since = seconds
        assert latch.active == (was if step is None else step == "raised")
        if step == "cleared":
            assert what == "healthy"
            assert not needs_reset
            assert run >= clear - 1e-6
        if what == "missing":
            assert step is None
        if what == "bad" and bad_since is not None and seconds - bad_since >= confirm:
            assert latch.active, "values that are bad for long enough always raise"
        if what in {"between", "healthy"}:
            bad_since = None
            assert step != "raised"


@given(steps)
def test_missing_values_change_nothing_but_the_end(history: list[tuple[str, float]]) -> None:
    """Whatever raises with gaps filled raises as early with them, and holds at least as long."""
    with_gaps, without = Latch(2.0, 5.0, 10.0), Latch(2.0, 5.0, 10.0)
    seconds = 0.0
    for what, wait in history:
        seconds += wait
        with_gaps.take(seconds, SEEN[what])
        if what != "missing":
            without.take(seconds, SEEN[what])
        assert with_gaps.active or not without.active


rows = st.lists(
    st.dictionaries(
        st.sampled_from(sorted(HEALTHY)),
        st.none() | st.sampled_from([0.0, 0.3, 1.0, 5.0, 16.0, 32.0, 40.0, 5e4, 1e5]),
        max_size=3,
    ),
    max_size=80,
)


@given(rows)
def test_no_alarm_ends_in_a_round_that_did_not_measure_it(
    history: list[dict[str, float | None]],
) -> None:
    loop = replace(LOOP, limits=Limits(clear_after=1.0, baseline_least=2.0, baseline=60.0))
    bench = Bench(loop)
    fields = {
        "leak": "leak_ratio", "pumps": "pumps_running_number",
        "pump_redundancy": "pumps_running_number", "flow": "flow_liters_per_second",
        "facility_flow": "facility_flow_liters_per_second", "level": "level_ratio",
        "level_falling": "level_ratio", "supply_temperature": "supply_temperature_celsius",
        "dew_point": "supply_temperature_celsius",
        "differential_pressure": "differential_pressure_pascals",
    }  # fmt: skip
    for values in history:
        before = bench.on
        changes = bench.round(**values)
        for change in changes:
            if change.what == "cleared" and change.alarm.rule in fields:
                assert values.get(fields[change.alarm.rule], 0.0) is not None
                assert change.alarm.rule != "leak"
        raised = {c.alarm.rule for c in changes if c.what == "raised"}
        cleared = {c.alarm.rule for c in changes if c.what == "cleared"}
        assert bench.on == (before | raised) - cleared
        assert not raised & before
        # A restart in any state goes on where it was.
        assert set(Engine([loop], bench.engine.active).active) == set(bench.engine.active)


@given(
    st.lists(st.tuples(st.floats(0.05, 30.0), st.floats(0.0, 1e6)), min_size=1, max_size=200),
)
def test_a_baseline_lies_within_its_window_and_stays_small(
    values: list[tuple[float, float]],
) -> None:
    baseline = Baseline(600.0, 60.0)
    seconds, seen = 0.0, []
    for wait, value in values:
        seconds += wait
        baseline.add(seconds, value)
        seen.append((seconds, value))
        recent = [v for at, v in seen if seconds - at <= 600.0]
        mean, highest = baseline.mean(seconds), baseline.highest(seconds)
        assert len(baseline._parts) <= 60
        if mean is not None and highest is not None:
            assert min(recent) - 1e-6 <= mean <= highest + 1e-6 <= max(recent) + 1e-5
    assert baseline.mean(seconds + 601.0) is None
