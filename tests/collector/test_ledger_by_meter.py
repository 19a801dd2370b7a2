# SPDX-License-Identifier: Apache-2.0
"""Energies of single meters in quarter hours, and the uncertainty of a PUE out of them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from math import fsum, sqrt
from pathlib import Path

import pytest
from collector.command_books import call
from collector.quarters import BEGIN, HOUR, ms

from rackwatt.collector.accounting.calendar import span_at
from rackwatt.collector.accounting.period import Outside, period
from rackwatt.collector.copies.book import Book
from rackwatt.collector.copies.making import Maker
from rackwatt.collector.copies.spans import Every, Sum
from rackwatt.collector.ledger import InputRecord, Ledger, site_factors
from rackwatt.collector.ledger.attribution import Attributor
from rackwatt.collector.ledger.by_meter import MeterSums, MeterTerms, meter_sums
from rackwatt.collector.ledger.chain import ATTRIBUTION, canonical
from rackwatt.collector.ledger.journal import Journal
from rackwatt.collector.ledger.sites import battery_parameters
from rackwatt.collector.ledger.verify import verify
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import Site, load_site, site_of
from rackwatt.wire.config import Document
from rackwatt.wire.database import connect

DEMO = Path("docs/examples/site-demo.yaml")
QUARTER = 15 * 60_000
RACKS = [f"r{row}-0{rack}-pdu" for row in (1, 2) for rack in range(1, 9)]
PDUS = {f"{rack}-a": 4000.0 for rack in RACKS} | {f"{rack}-b": 3000.0 for rack in RACKS}
WATTS = {
    "grid-1": 80_000.0,
    "pv-1": 60_000.0,
    "wind-1": 20_000.0,
    "ups-1": 120_000.0,
    "cooling-1": 25_000.0,
    "other-1": 5_000.0,
    **PDUS,
}
CHARGE = 10_000.0
EVERY: tuple[Every, ...] = ("1h", "1d", "1mo", "1mo")


def readings(watts: Mapping[str, float], seconds: range) -> Iterator[InputRecord]:
    for s in seconds:
        for device, own in watts.items():
            values = {"power_watts": own, "energy_import_watt_hours": 5000.0 + own * s / 3600.0}
            yield InputRecord(device, ms(s), values, ms(s) + 500)
        battery = {
            "power_charge_watts": CHARGE,
            "power_discharge_watts": 0.0,
            "energy_charge_watt_hours": 5000.0 + CHARGE * s / 3600.0,
            "energy_discharge_watt_hours": 70.0,
        }
        yield InputRecord("battery-1", ms(s), battery, ms(s) + 500)


@contextmanager
def books(
    path: Path, site: Site, watts: Mapping[str, float], seconds: range = range(0, 7261, 60)
) -> Iterator[Ledger]:
    with closing(Ledger(path, site, site_factors(site), battery_parameters(site))) as ledger:
        found = Attributor(site, ledger.metered, ledger.counters, ledger.closed_through_ms)
        ledger.attribute(found)
        ledger.apply(list(readings(watts, seconds)), 1)
        ledger.close_intervals(ms(seconds[-1]) + 60_000)
        yield ledger


def demo() -> Site:
    return site_of(Document(str(DEMO), DEMO.read_text()))


def by_hand(parts: Mapping[str, tuple[float, float]], boundary: float, it: float) -> float:
    """Twice the standard uncertainty; per meter its energy and its class, percent."""
    squares = [(energy * percent / 100.0) ** 2 / 3.0 for energy, percent in parts.values()]
    return 2.0 * sqrt(fsum(squares)) / it


def test_the_demo_sites_pue_has_the_uncertainty_of_its_meters(tmp_path: Path) -> None:
    """150.5 kW over 112 kW: 1.344 +- 0.006, of 36 meters, each with its own share."""
    site = load_site(DEMO)
    with books(tmp_path / "ledger.db", site, WATTS) as ledger:
        rows = [booked(row) for row in ledger.rows(BEGIN, BEGIN + 2 * HOUR)]
        sums = meter_sums(ledger.meters(BEGIN, BEGIN + 2 * HOUR), MeterTerms(site))
    boundary, it = 160_000.0 - 0.95 * CHARGE, fsum(PDUS.values())
    parts = {name: (WATTS[name], 0.5) for name in ("grid-1", "pv-1", "wind-1")}
    parts["battery-1"] = (0.95 * CHARGE, 0.5)
    parts |= {name: (boundary / it * watts, 1.0) for name, watts in PDUS.items()}
    expected = by_hand(parts, boundary, it)
    # Standard, W: grid 231, pv 173, wind 58, battery 27, each PDU 31 or 23; 334 / 112,000 x 2.
    assert expected == pytest.approx(0.00596, abs=5e-6)
    outside = Outside(BEGIN, BEGIN + 2 * HOUR, by_meter=sums.over(BEGIN, BEGIN + 2 * HOUR))
    found = period(rows, rules_of(site), outside).pue
    assert found.value == pytest.approx(boundary / it)
    assert found.uncertainty == pytest.approx(expected, rel=1e-9)


IT = "sum: ['r1-[01-08]-pdu-[a-b]', 'r2-[01-08]-pdu-[a-b]']"
PUMP = "minus: [pump-1]\n- {id: pump-1, role: cooling, class: 2.0, cadence: 1s}"


def pumped_text() -> str:
    """The demo site with a coolant pump that the racks feed."""
    text = DEMO.read_text().replace(IT, f"{IT}\n  {PUMP}")
    return text.replace("minus: [it]", "minus: [it, pump-1]")


def pumped() -> Site:
    return site_of(Document(str(DEMO), pumped_text()))


def test_a_meter_that_is_taken_off_counts_with_its_own_energy(tmp_path: Path) -> None:
    """IT = PDUs - pump: without the meters' energies nothing could be said."""
    site = pumped()
    with books(tmp_path / "ledger.db", site, {**WATTS, "pump-1": 2_000.0}) as ledger:
        rows = [booked(row) for row in ledger.rows(BEGIN, BEGIN + 2 * HOUR)]
        sums = meter_sums(ledger.meters(BEGIN, BEGIN + 2 * HOUR), MeterTerms(site))
        last = json.loads(ledger.attributions(BEGIN, BEGIN + HOUR)[BEGIN])["meters"]
    assert period(rows, rules_of(site)).pue.uncertainty is None
    assert last["pump-1|import"] == 500.0, "Wh in a quarter hour"
    assert last["battery-1|charge"] == 2500.0
    assert last["battery-1|discharge"] == 0.0
    assert last["ups-1|import"] == 30_000.0
    assert len(last) == 6 + 32 + 1 + 2
    boundary, it = 160_000.0 - 0.95 * CHARGE, fsum(PDUS.values()) - 2_000.0
    parts = {name: (WATTS[name], 0.5) for name in ("grid-1", "pv-1", "wind-1")}
    parts["battery-1"] = (0.95 * CHARGE, 0.5)
    parts |= {name: (boundary / it * watts, 1.0) for name, watts in PDUS.items()}
    parts["pump-1"] = (boundary / it * 2_000.0, 2.0)
    outside = Outside(BEGIN, BEGIN + 2 * HOUR, by_meter=sums.over(BEGIN, BEGIN + 2 * HOUR))
    found = period(rows, rules_of(site), outside).pue
    assert found.uncertainty == pytest.approx(by_hand(parts, boundary, it), rel=1e-9)


def test_hours_days_and_months_of_the_copy_have_it(tmp_path: Path) -> None:
    site = pumped()
    path, found = tmp_path / "ledger.db", []
    with books(path, site, {**WATTS, "pump-1": 2_000.0}), closing(Book(path)) as book:
        maker = Maker(site, book)
        for every in EVERY:
            span = span_at(BEGIN, every, site.timezone)
            rows = maker.sums(Sum("interval", every, span.start_ms, span.end_ms))
            found += [row.fields for row in rows if row.measurement.startswith("site_figures")]
    assert len(found) == 4
    values = [fields["pue_uncertainty_ratio"] for fields in found]
    assert all(fields["pue_uncertainty_ratio_known"] == 1.0 for fields in found)
    assert values == pytest.approx([values[0]] * 4, rel=1e-9)


def test_show_has_it_for_each_span_and_for_all(tmp_path: Path) -> None:
    site = pumped()
    file = tmp_path / "site.yaml"
    file.write_text(pumped_text())
    with books(tmp_path / "ledger.db", site, {**WATTS, "pump-1": 2_000.0}):
        pass
    values = []
    for every in ("15m", "1h", "1mo"):
        ends = [
            "--from",
            "2026-05-28",
            "--to",
            "2026-05-29T01:00+01:00",
            "--every",
            every,
            "--json",
        ]
        found = call("show", "--data", str(tmp_path), "--site", str(file), *ends)
        assert found.exit_code == 0, found.output
        document = json.loads(found.stdout)
        values += [row["pue"]["uncertainty"] for row in [*document["rows"], document["all"]]]
    assert len(values) == 8 + 1 + 2 + 1 + 1 + 1
    assert values == pytest.approx([values[0]] * len(values), rel=1e-9)


def test_days_merge_into_what_their_quarters_say() -> None:
    site = pumped()
    terms = MeterTerms(site)
    row = json.dumps({f"{name}|import": 0.1 for name in [*WATTS, "pump-1"]} | {
        "battery-1|charge": 0.3, "battery-1|discharge": 0.001
    })  # fmt: skip
    quarters = [(BEGIN + n * QUARTER, row) for n in range(8)]
    whole = meter_sums(quarters, terms)
    merged = MeterSums()
    merged.merge(meter_sums(quarters[3:], terms))
    merged.merge(meter_sums(quarters[:3], terms))
    assert merged == whole
    found = whole.over(BEGIN, BEGIN + 2 * HOUR)
    assert found is not None
    assert found["it"]["pump-1"] == -0.8
    assert found["export"] == {}
    assert found["discharge"] == {"battery-1": 0.008}


def test_too_few_known_quarters_say_nothing() -> None:
    site = pumped()
    known = {f"{name}|import": 1.0 for name in [*WATTS, "pump-1"]}
    known |= {"battery-1|charge": 0.0, "battery-1|discharge": 0.0}
    lost = {**known, "r1-01-pdu-a|import": None}
    cooler = {**known, "cooling-1|import": None}
    texts = [json.dumps(known), json.dumps(cooler), json.dumps(lost), None]
    quarters = [(BEGIN + n * QUARTER, text) for n, text in enumerate(texts)]
    sums = meter_sums(quarters, MeterTerms(site))
    assert sums.quarters == 2, "a cooling meter is no term of a PUE"
    assert sums.over(BEGIN, BEGIN + HOUR) is None
    assert sums.over(BEGIN, BEGIN + 2 * QUARTER + 60_000) is not None, "a running quarter waits"
    assert sums.over(BEGIN, BEGIN + 60_000) is None


def test_a_quarter_in_which_meters_change_is_left_out(tmp_path: Path) -> None:
    """Its meters are those of its begin."""
    when = datetime.fromtimestamp(BEGIN / 1000 + 5 * 60, tz=UTC).isoformat()
    head, rest = DEMO.read_text().split("- {id: other-1,")
    changed = f"{head}- {{id: other-2, role: other, valid_to: {when}}}\n- {{id: other-1,{rest}"
    site = site_of(Document(str(DEMO), changed))
    with books(tmp_path / "ledger.db", site, {**WATTS, "other-2": 10.0}) as ledger:
        found = list(ledger.meters(BEGIN, BEGIN + 2 * QUARTER))
    assert found[0] == (BEGIN, None)
    assert found[1][1] is not None
    assert "other-2|import" not in json.loads(found[1][1])


def test_meters_that_do_not_add_up_are_found(tmp_path: Path) -> None:
    site, path = pumped(), tmp_path / "ledger.db"
    with books(path, site, {**WATTS, "pump-1": 2_000.0}) as ledger:
        text = ledger.attributions(BEGIN, BEGIN + 1)[BEGIN]
    assert verify(path, site=site).sound
    row = json.loads(text)
    row["meters"]["r1-03-pdu-b|import"] += 0.5
    row["meters"]["wind-1|import"] = None
    with closing(connect(path)) as db:
        Journal(db).append(BEGIN, "forged", canonical(row), kind=ATTRIBUTION)
        db.commit()
    assert verify(path).sound, "without the site nobody knows which meters belong to a flow"
    (finding,) = verify(path, site=site).findings
    assert finding.kind == ATTRIBUTION
    assert finding.message == "its meters do not add up to what is booked: it, losses, wind"
