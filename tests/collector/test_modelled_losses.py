# SPDX-License-Identifier: Apache-2.0
"""Modelled losses from the site file to the ledger's rows, figures, proof and metrics."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from collector.books import BEGIN, HOUR, MINUTE, PARAMETERS, Meter, Site, data, ledger, record

from rackwatt.collector.accounting.battery import BatteryState
from rackwatt.collector.accounting.factors import SiteFactors, shipped
from rackwatt.collector.accounting.modelled import LossModel
from rackwatt.collector.copies.rows import Places, interval_rows
from rackwatt.collector.ledger import InputRecord, Ledger
from rackwatt.collector.ledger.verify import verify
from rackwatt.collector.live.figures import LiveFigures
from rackwatt.collector.live.frame import LedgerView
from rackwatt.collector.live.metrics import families
from rackwatt.collector.roles.standing import Standings
from rackwatt.collector.site import Site as Loaded
from rackwatt.collector.site.check import summary
from rackwatt.collector.site.loader import site_of
from rackwatt.collector.site.topology import Settlement
from rackwatt.wire.config import ConfigErrors, Document

MODEL = LossModel("tr-a", ("b",), 1100.0, 9000.0 / 1e6**2)
GOOD = dict.fromkeys("gib", Meter(accuracy=0.2))
PLAIN = Site({"grid": ("g",), "it": ("i",)}, meters=GOOD)
WITH = Site({"grid": ("g",), "it": ("i",)}, meters=GOOD, modelled_losses=(MODEL,))
LOAD = 600_000.0
LOSS = 1100.0 + 9000.0 * 0.36

TEXT = """
site: {{id: demo, timezone: Africa/Casablanca, country: MA}}
balance: {{modelled_losses: {wanted}}}
meters:
  - {{id: grid-1, role: grid, class: 0.5}}
  - {{id: main-a, class: 0.5}}
  - {{id: busway-a, class: 0.5}}
  - {{id: it, role: it, position: pdu_output, sum: [r1-pdu-a, r2-pdu-a]}}
  {more}
halls:
  - id: hall-a
    rows: [{{id: row-1, racks: "r[1-2]", pdus: "{{rack}}-pdu-a"}}]
power_chain:
  assets:
    - {{id: u, kind: utility}}
    - {{id: tr-a, kind: transformer, rated_volt_amperes: 1.0e+6, no_load_loss_watts: 1100,
       load_loss_watts: 9000}}
    - {{id: tr-b, kind: transformer}}
    - {{id: board, kind: board}}
    - {{id: ups-a, kind: ups, rated_volt_amperes: 5.0e+5, no_load_loss_watts: 900,
       load_loss_watts: 4000}}
    - {{id: busway, kind: busway}}
  edges:
    - {{from: u, to: tr-a, watts: 1.0e+6, derating: 1.0, meter: grid-1}}
    - {{from: tr-a, to: tr-b}}
    - {{from: tr-b, to: board, volts: 400, ohms: 0.0004}}
    - {{from: board, to: ups-a, meter: {ups}}}
    - {{from: ups-a, to: busway, meter: busway-a}}
    - {{from: busway, to: "r[1-2]-pdu-a", volts: 400, meter: "{{to}}"}}
"""


def site(wanted: str, *, ups: str = "main-a", more: str = "") -> Loaded:
    text = TEXT.format(wanted=wanted, ups=ups, more=more)
    return site_of(Document("site.yaml", text))


def refused(wanted: str, **more: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        site(wanted, **more)
    return "\n".join(str(error) for error in caught.value.errors)


def an_hour(seconds: Iterable[int]) -> list[InputRecord]:
    found: list[InputRecord] = []
    for s in seconds:
        for device, watts in {"g": LOAD + LOSS, "i": LOAD, "b": LOAD}.items():
            energy = watts * (s + 100) / 3600
            found.append(record(device, s, power_watts=watts, energy_import_watt_hours=energy))
    return found


def ledger_of(books: Site) -> closing[Ledger]:
    """The books of a minute and more."""
    book = ledger(site=books)
    book.apply(an_hour(range(-60, 160, 10)), 1)
    book.close_intervals(BEGIN + 150_000)
    return closing(book)


# --- the site file --------------------------------------------------------------------------


def test_the_meters_nearest_below_carry_it() -> None:
    (model,) = site("[tr-a]").modelled_losses
    assert model == LossModel("tr-a", ("main-a",), 1100.0, 9000.0 / 1e12)
    (line,) = site("['tr-b>board']").modelled_losses
    assert (line.meters, line.no_load_watts, line.above) == (("main-a",), 0.0, False)
    assert line.loss(400_000.0) == pytest.approx(0.0004 * 3 * (400_000 / 400 / 3**0.5) ** 2)


def test_site_check_shows_by_which_meters() -> None:
    text = summary(site("[tr-a]"), BEGIN)
    assert "losses of tr-a: modelled by main-a below it" in text


def test_without_a_meter_below_the_one_above_does() -> None:
    text = TEXT.format(wanted="[tr-a]", ups="main-a", more="")
    blind = text.replace(", meter: main-a", "").replace(", meter: busway-a", "")
    blind = blind.replace('r[1-2]-pdu-a", volts: 400, meter: "{to}"', 'r[1-2]"')
    blind = blind.replace(', pdus: "{rack}-pdu-a"', "").replace(", sum: [r1-pdu-a, r2-pdu-a]", "")
    (model,) = site_of(Document("site.yaml", blind)).modelled_losses
    assert (model.meters, model.above) == (("grid-1",), True)


def test_site_check_says_what_cannot_be_modelled() -> None:
    assert "unknown asset or feed (FROM>TO) 'tr-c'" in refused("[tr-c]")
    assert "'tr-b' states no 'no_load_loss_watts' and 'rated_volt_amperes'" in refused("[tr-b]")
    assert "'tr-a>tr-b' states no 'ohms' and 'volts'" in refused("['tr-a>tr-b']")
    assert "'tr-a' stands here twice" in refused("[tr-a, 'tr-[a-a]']")


def test_what_a_difference_of_meters_shows_already_is_refused() -> None:
    losses = "- {id: losses, role: losses, sum: [main-a], minus: [busway-a]}"
    assert "what 'ups-a' loses is metered already" in refused("[ups-a]", more=losses)
    assert site("[tr-a]", more=losses).modelled_losses


def test_without_a_chain_there_is_nothing_to_name() -> None:
    text = TEXT.format(wanted="[tr-a]", ups="main-a", more="").partition("power_chain")[0]
    with pytest.raises(ConfigErrors) as caught:
        site_of(Document("site.yaml", text))
    assert "needs a power_chain" in str(caught.value.errors[0])


# --- the ledger -------------------------------------------------------------------------------


def test_a_row_holds_the_model_beside_the_raw_residual() -> None:
    with ledger_of(WITH) as book:
        row = data(book)
    assert row["residual"] == pytest.approx(LOSS / 60)
    assert row["losses_modelled"] == pytest.approx(LOSS / 60)
    assert row["residual_after_losses"] == pytest.approx(0.0, abs=1e-6)
    assert "residual_beyond_uncertainty" not in row["flags"]
    with ledger_of(PLAIN) as book:
        plain = data(book)
    assert "residual_beyond_uncertainty" in plain["flags"]
    assert "losses_modelled" not in plain
    same = {name for name in plain if name != "flags"}
    assert {name: row[name] for name in same} == {name: plain[name] for name in same}


def test_the_proof_books_it_again_from_rows_and_from_inputs(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path, WITH)
    book.apply(an_hour(range(-60, 3700, 10)), 1)
    book.close_intervals(BEGIN + HOUR)
    book.close()
    factors = SiteFactors(shipped(), "MA")
    proof = verify(path, site=WITH, factors=factors, battery=PARAMETERS)
    assert (proof.findings, proof.from_inputs) == ([], 60)
    other = Site(WITH.roles, meters=GOOD, modelled_losses=(LossModel("x", ("b",), 1.0, 0.0),))
    changed = verify(path, site=other, factors=factors, battery=PARAMETERS)
    assert "losses_modelled" in changed.findings[0].message


def test_the_running_month_is_judged_after_losses(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    book = ledger(path, WITH)
    book.apply(an_hour(range(-60, 3700, 10)), 1)
    book.close_intervals(BEGIN + HOUR)
    book.close()
    now = Standings(site("[tr-a]"), path).turn()
    assert now.month_residual_ratio == pytest.approx(LOSS / (LOAD + LOSS))
    assert now.month_after_losses_ratio == pytest.approx(0.0, abs=1e-9)
    assert Standings(site("[]"), path).turn().month_after_losses_ratio is None


def test_the_stores_copy_has_it_where_the_site_names_it() -> None:
    for known, books in ((True, WITH), (False, PLAIN)):
        with ledger_of(books) as book:
            rows = interval_rows(Places("demo"), BEGIN, 1, data(book))
        fields = next(row.fields for row in rows if row.measurement == "site_figures")
        assert ("residual_after_losses_watt_hours" in fields) == known
        assert fields["residual_watt_hours"] == pytest.approx(LOSS / 60)


class LiveSite(Site):
    """A site whose figures are live."""

    settlement: Settlement | None = None
    supply: dict[str, str] = {}  # noqa: RUF012 - a double that nobody changes


@pytest.mark.parametrize("models", [(MODEL,), ()])
def test_live_figures_show_both(models: tuple[LossModel, ...]) -> None:
    site_ = LiveSite(WITH.roles, meters=GOOD, modelled_losses=models)
    live = LiveFigures(site_, SiteFactors(shipped(), "MA"), PARAMETERS, BatteryState())
    for each in an_hour(range(0, 120, 1)):
        live.observe(each.device, each.time_ms, each.values)
    now = live.figures(BEGIN + 2 * MINUTE)
    assert now.residual_ratio == pytest.approx(LOSS / (LOAD + LOSS))
    told = {f.name: f.samples for f in families("demo", now, LedgerView(), 0)}
    if models:
        assert now.after_losses_ratio == pytest.approx(0.0, abs=1e-9)
        assert told["rackwatt_balance_residual_after_losses_ratio"]
    else:
        assert now.after_losses_ratio is None
        assert not told["rackwatt_balance_residual_after_losses_ratio"]
    live.observe("g", BEGIN + 10 * MINUTE, {"power_watts": LOAD})
    live.observe("i", BEGIN + 10 * MINUTE, {"power_watts": LOAD})
    assert live.figures(BEGIN + 10 * MINUTE).after_losses_ratio is None, "its meter is silent"
