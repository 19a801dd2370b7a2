# SPDX-License-Identifier: Apache-2.0
"""The numbers that "Now" shows are those of the ledger, not nearly, and marks are found."""

import json
from collections.abc import Mapping
from math import fsum
from typing import Any

import pytest
from dashboards.filling import Filled
from dashboards.grafana_text import influx_text

from rackwatt.collector.accounting.period import period
from rackwatt.collector.accounting.rules import Outside
from rackwatt.collector.copies.book import Book
from rackwatt.collector.ledger.journal import LedgerRow
from rackwatt.collector.ledger.view import booked, rules_of
from rackwatt.collector.site import load_site
from rackwatt.dashboards.annotations import annotations
from rackwatt.dashboards.boards.now import BOARD
from rackwatt.dashboards.editions import as_text
from rackwatt.dashboards.texts import Speaker, board_words

MINUTE = 60_000


@pytest.fixture(scope="module")
def last(filled: Filled) -> list[LedgerRow]:
    """The last 15 minutes of the ledger."""
    book = Book(filled.folder / "ledger.db")
    rows = list(book.rows(filled.end_ms - 15 * MINUTE, filled.end_ms))
    book.close()
    assert len(rows) == 15
    return rows


@pytest.fixture(scope="module")
def shown(filled: Filled) -> Mapping[str, dict[str, float]]:
    """English title of a panel of "Now" to what it shows: series, or empty, to number."""
    board = json.loads(as_text(BOARD.edition("en")[0]))
    found: dict[str, dict[str, float]] = {}
    for panel in board["panels"]:
        if panel["type"] not in {"stat", "bargauge"}:
            continue
        for target in panel["targets"]:
            if "query" not in target:
                continue
            text = influx_text(
                target["query"], filled.range(6), panel, {"site": "demo"}, {"site": None}
            )
            for row in filled.rollups.query_influxql(text):
                value: float = row["last"] if "last" in row else row["sum_sum"]
                name = row.get("origin", target.get("alias", ""))
                found.setdefault(panel["title"], {})[name] = value
    return found


def test_pue_is_the_ledgers(
    filled: Filled, last: list[LedgerRow], shown: Mapping[str, dict[str, float]]
) -> None:
    sums = [fsum(row.data[name] for row in last) for name in ("boundary", "it")]
    pue = shown["PUE, interim (15 min)"][""]
    assert pue == pytest.approx(sums[0] / sums[1], rel=1e-12)
    rules = rules_of(load_site(filled.folder / "site.yaml"))
    figures = period([booked(row) for row in last], rules, Outside(last[0].start_ms, filled.end_ms))
    assert pue == pytest.approx(figures.pue.value, rel=1e-12)
    assert shown["PUE category"][""] == figures.pue.category


def test_load_shares_and_intensity_are_the_newest_minutes(
    last: list[LedgerRow], shown: Mapping[str, dict[str, float]]
) -> None:
    row: Mapping[str, Any] = last[-1].data
    assert shown["Data center load"][""] == pytest.approx(row["load"] * 60)
    assert shown["IT load"][""] == pytest.approx(row["it"] * 60)
    assert shown["Carbon intensity of the load"] == pytest.approx(row["intensity"])
    renewable = fsum(row["shares"].get(name, 0.0) for name in ("pv", "wind", "hydro"))
    shares = shown["Shares of the load"]
    assert shares["renewable"] == pytest.approx(renewable)
    assert shares["grid"] == pytest.approx(row["shares"]["grid"])
    assert shares["carbon_free"] == pytest.approx(row["carbon_free"] / row["load"])
    assert shares["carbon"] == pytest.approx(1 - row["carbon_free"] / row["load"])
    origins = shown["Load by origin"]
    assert "battery" not in origins
    assert fsum(origins.values()) == pytest.approx(row["load"] * 60)
    assert shown["Battery stock"][""] == pytest.approx(fsum(row["battery"]["stock"].values()))
    assert shown["Completeness"][""] == row["completeness"]


def test_marks_are_found(filled: Filled) -> None:
    at = filled.end_ms - 30 * MINUTE
    filled.raw.write(f'event,site=marks,hall=hall-a,device=cdu-a1,code=leak text="leak" {at}')
    filled.rollups.write(
        f'site_figures,site=marks revision=2,flags="late_data,maintenance:cdu-a1" {at}'
    )
    container = annotations(Speaker(board_words("now"), "en"))
    counts = {}
    for query in container.list_val or []:
        if query.built_in:
            continue
        target: Any = query.target
        text = influx_text(target.text, filled.range(1), {}, {"site": "marks"}, {"site": None})
        bucket = filled.raw if query.name == "Events" else filled.rollups
        rows = bucket.query_influxql(text)
        assert all(row[target.text_column] for row in rows)
        counts[query.name] = len(rows)
    assert counts == {"Events": 1, "Restatements": 1, "Maintenance": 1}
