# SPDX-License-Identifier: Apache-2.0
"""A handover's parts, and its documents in three languages."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rackwatt.collector.ledger import Act
from rackwatt.collector.ledger.upkeep import ENDED, STARTED
from rackwatt.collector.live.chain import LiveChains
from rackwatt.collector.live.chain_view import overview
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.site import load_site
from rackwatt.collector.watchkeeping import document
from rackwatt.collector.watchkeeping.document import LANGUAGES, write
from rackwatt.collector.watchkeeping.handover import (
    Group,
    Handover,
    Lost,
    due_of,
    lost_of,
    with_acks,
)
from rackwatt.collector.watchkeeping.log import ACK, BEGUN, HANDED_OVER, NOTED, log_of
from rackwatt.collector.watchkeeping.remotes import Alert, Silence

ZONE = ZoneInfo("Africa/Casablanca")
HOUR = 3_600_000
NOW = 1_790_000_000_000
SITE = load_site(Path("docs/examples/site-chains.yaml"))
TEXTS = {
    code: json.loads((Path(document.__file__).parent / "texts" / f"{code}.json").read_text())
    for code in LANGUAGES
}
PLACEHOLDER = re.compile(r"\{\w+\}")
ARABIC = re.compile("[\u0600-\u06ff]")


def out(asset: str, start: int, until: int) -> dict[str, Any]:
    return {"asset": asset, "start_ms": NOW + start * HOUR, "until_ms": NOW + until * HOUR}


def acts() -> list[Act]:
    said: list[tuple[int, str, dict[str, Any], str]] = [
        (-9, BEGUN, {"crew": ["S. Tazi"]}, "shift begun"),
        (-8, STARTED, out("ups-b", -8, 2), "batteries"),
        (-8, STARTED, out("cdu-a1", -7, -1), "pump 2"),
        (-7, STARTED, out("tr-a", 3, 5), "oil"),
        (-7, STARTED, out("tr-b", 30, 40), "oil"),
        (-6, STARTED, out("cdu-a2", -6, -3), "filter"),
        (-5, ENDED, {"asset": "cdu-a2", "end_ms": NOW - 5 * HOUR}, "filter is new"),
        (-4, NOTED, {"asset": "ups-b"}, "vendor on site"),
        (-3, ACK, {"alert": "Old", "labels": {}, "until_ms": NOW + HOUR}, "looked"),
        (0, ACK, {"alert": "SafetyLeak", "labels": {"device": "cdu-a1"},
                  "until_ms": NOW + HOUR // 4}, "on my way"),
        (0, HANDED_OVER, {"to": "L. Alaoui"}, "handed over"),
        (0, "restate", {"start_ms": 1}, "not of the watch"),
    ]  # fmt: skip
    return [
        Act(seq, NOW + hours * HOUR, name, data, "N. Idrissi", reason)
        for seq, (hours, name, data, reason) in enumerate(said, 1)
    ]


LOG = log_of(reversed(acts()))
ALERTS = [
    Alert({"alertname": "Old", "severity": "strange"}, "", NOW - HOUR, inhibited=True),
    Alert({"alertname": "Residual", "severity": "warning"}, "2 %", NOW - HOUR, ("s1",)),
    Alert(
        {"alertname": "SafetyLeak", "severity": "critical", "device": "cdu-a1"},
        "cdu-a1: water", NOW,
    ),
]  # fmt: skip


def full() -> Handover:
    return Handover(
        site="Rackwatt demo",
        zone=ZONE,
        since_ms=NOW - 9 * HOUR,
        until_ms=NOW,
        author="N. Idrissi",
        crew=("S. Tazi",),
        alerts=with_acks(ALERTS, LOG, NOW),
        silences=[
            Silence("s1", ('alertname="Residual"',), "A. Amrani", "new meter", NOW - HOUR, NOW + 1),
            Silence("s2", ('device=~"p.*"',), "A. Amrani", "test", NOW + 1, NOW + 99 * HOUR),
        ],
        acks=LOG.acks,
        outages=LOG.outages,
        lost=Lost(
            [Group("ups", 1, 2, 1, "N"), Group("cdus", 2, 3, 1, "below N"),
             Group("pumps", 1, 2, None, "unknown")],
            [(f"ups-a>busway-{n}", 1.04) for n in range(9)], 31, [f"r1-{n}" for n in range(16)],
        ),
        due=due_of(LOG, {"g": date(2026, 9, 1), "p": date(2026, 10, 3)}, NOW, ZONE),
        lines=LOG.lines,
        unknown=("http://127.0.0.1:9093 does not answer",),
        to="L. Alaoui",
    )  # fmt: skip


def test_the_log_is_in_the_order_of_the_chain() -> None:
    assert [line.seq for line in LOG.lines] == list(range(1, 12)), "restate is not of the watch"
    assert LOG.acks[0].until_ms == NOW - 3 * HOUR + HOUR // 2, "half an hour, whatever it says"
    (begun, over) = LOG.shifts
    assert (begun.author, over.author) == ("N. Idrissi", "L. Alaoui")
    assert LOG.shift(NOW - 1) == begun
    assert LOG.shift(NOW) == over
    assert LOG.shift(NOW - 10 * HOUR) is None
    assert len(LOG.between(NOW - 4 * HOUR, NOW - 3 * HOUR)) == 2


def test_the_worst_alert_comes_first_with_who_is_at_it() -> None:
    found = with_acks(ALERTS, LOG, NOW)
    assert [one.alert.name for one in found] == ["SafetyLeak", "Residual", "Old"]
    assert [one.ack.note if one.ack else None for one in found] == ["on my way", None, None]
    later = with_acks(ALERTS, LOG, NOW + HOUR // 4)
    assert later[0].ack is None, "it ended by itself"


def test_what_is_due() -> None:
    calibrations = {"g": date(2026, 9, 1), "p": date(2026, 10, 3), "i": date(2027, 1, 1)}
    found = due_of(LOG, calibrations, NOW, ZONE)
    assert [(one.kind, one.subject, one.overdue) for one in found] == [
        ("calibration", "g", True),
        ("maintenance_end", "cdu-a1", True),
        ("maintenance_end", "ups-b", False),
        ("maintenance_start", "tr-a", False),
        ("maintenance_end", "tr-a", False),
        ("calibration", "p", False),
    ]


def test_a_calibration_holds_on_its_last_day() -> None:
    (one,) = due_of(log_of([]), {"g": date(2026, 9, 21)}, NOW, ZONE)
    assert not one.overdue
    (one,) = due_of(log_of([]), {"g": date(2026, 9, 20)}, NOW, ZONE)
    assert one.overdue


def test_redundancy_that_is_lost_by_what_the_chains_say() -> None:
    devices = Devices(SITE)
    whole = overview(SITE.chains, LiveChains(SITE, devices).state(NOW))
    state = LiveChains(SITE, devices).state(NOW, {"ups-b"})
    lost = lost_of(overview(SITE.chains, state), SITE, LOG, NOW)
    ups = next(group for group in lost.groups if group.id == "ups")
    assert (ups.installed, ups.available, ups.state) == (2, 1, "N")
    racks = [name for name, one in SITE.chains.power.assets.items() if one.kind == "rack"]
    assert sorted(lost.racks) == sorted(racks), "each has lost its side B"
    nothing = lost_of(whole, SITE, log_of([]), NOW)
    assert not nothing.racks
    assert "ups" not in {group.id for group in nothing.groups}


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_every_language_says_all_in_its_own_words(language: str) -> None:
    texts, english = TEXTS[language], TEXTS["en"]
    assert list(texts) == list(english)
    for key, text in texts.items():
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(english[key])), key
        words = re.sub(r"\W", "", PLACEHOLDER.sub("", english[key]))
        assert text != english[key] or not words, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_document_with_everything(language: str) -> None:
    text = write(full(), language)
    for said in (
        "Rackwatt demo", "N. Idrissi", "S. Tazi", "L. Alaoui", "SafetyLeak", "on my way",
        'alertname="Residual"', "new meter", "batteries", "filter is new", "vendor on site",
        "ups-a>busway-0", "104", "26", "r1-0, r1-1", "does not answer", "2026-09-01",
    ):  # fmt: skip
        assert said in text, said
    assert not PLACEHOLDER.findall(text.replace("{alertname", "").replace("{device", ""))
    assert "shift begun" not in text, "what nobody said in words"
    lines = [line for line in text.splitlines() if line]
    foreign = re.compile("does not answer|vendor on site")
    if language == "ar":
        assert all(ARABIC.search(line) or foreign.search(line) for line in lines)
        assert all("\u200f" in line for line in lines)
        assert text.count("\u2068") == text.count("\u2069") > 50
    else:
        assert not ARABIC.search(text)
        assert "\u2068" not in text


def test_in_a_quiet_shift_nothing_is_told_in_words() -> None:
    quiet = Handover("Demo", ZONE, NOW - HOUR, NOW, alerts=(), silences=(), lost=Lost(), unknown=())
    english = write(quiet, "en")
    for said in ("nobody took the watch", "No alert is on.", "Nothing is muted.", "Nothing is out"):
        assert said in english
    assert "Nothing is lost" in english
    assert "NOT KNOWN" not in english
    without = Handover("Demo", ZONE, NOW - HOUR, NOW, unknown=("x",), has_chains=False)
    english = write(without, "en")
    assert "no power or cooling chain" in english
    assert "No alert is on" not in english, "what is not known is no quiet"


def test_as_json_it_is_whole() -> None:
    found = json.loads(json.dumps(full().as_dict(), allow_nan=False))
    assert found["alerts"][0]["acknowledged"]["author"] == "N. Idrissi"
    assert found["redundancy_lost"]["feeds_at_risk"] == 31
    assert found["unknown"] == ["http://127.0.0.1:9093 does not answer"]
    storm = with_acks(ALERTS * 100, LOG, NOW)
    kept = Handover("Demo", ZONE, 0, NOW, alerts=storm, to="L. Alaoui").signed()
    assert (len(kept["alerts"]), kept["alerts_on"], kept["to"]) == (200, 300, "L. Alaoui")
    nothing = Handover("Demo", ZONE, 0, NOW).as_dict()
    assert nothing["alerts"] is None
    assert nothing["redundancy_lost"] is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_alert_cannot_forge_a_line(language: str) -> None:
    odd = Alert({"alertname": "A", "severity": "info\n## x"}, "a\n- b\u2069\u202ec\x1b[2J", NOW)
    found = Handover("Demo", ZONE, NOW, NOW, alerts=with_acks([odd], LOG, NOW))
    text = write(found, language)
    assert "a - bc[2J" in text
    assert "\x1b" not in text
    assert "\n## x" not in text
    assert text.count("\u2068") == text.count("\u2069")
