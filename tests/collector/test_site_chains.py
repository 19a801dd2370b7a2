# SPDX-License-Identifier: Apache-2.0
"""Chains in the site file: what they become, and what is refused, with the line."""

from pathlib import Path

import pytest

from rackwatt.collector.site.loader import load_site
from rackwatt.collector.site.topology import Site
from rackwatt.wire.config import ConfigErrors

EXAMPLE = Path("docs/examples/site-chains.yaml")


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the example"
        text = text.replace(old, new)
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path: Path, *changes: tuple[str, str]) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_site(changed(tmp_path, *changes))
    return str(caught.value)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(EXAMPLE)


def test_the_example_has_both_chains(site: Site) -> None:
    power, cooling = site.chains.power, site.chains.cooling
    feeds = {edge.source: edge for edge in power.into("r1-03")}
    assert feeds.keys() == {"r1-03-pdu-a", "r1-03-pdu-b"}
    assert {power.side(edge) for edge in feeds.values()} == {"A", "B"}
    (above,) = power.into("r2-08-pdu-b")
    assert (above.source, above.meter) == ("busway-b-row-2", "r2-08-pdu-b")
    assert above.continuous_amperes == pytest.approx(50.4)
    assert power.shared("r1-01") == {"utility-1"}
    assert power.lost_with("ups-a", "ups-b") >= {"r1-01", "r2-08"}
    assert cooling.lost_with("cdu-a1") == {f"r1-0{n}" for n in range(1, 9)}
    assert site.chains.needed == {"ups": 1, "chillers": 2}
    assert site.chains.masses["r2-01"].limit_celsius == 65


def test_a_loop_is_refused(tmp_path: Path) -> None:
    text = refused(
        tmp_path,
        ("{from: tr-a, to: mlvb-a,", "{from: ups-a, to: tr-a}\n    - {from: tr-a, to: mlvb-a,"),
    )
    assert "a loop: " in text
    assert "nothing feeds itself" in text


def test_an_asset_that_nobody_feeds_is_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, ("{id: genset-1, kind: genset}", "{id: genset-1, kind: board}"))
    assert (
        "site.yaml:22: power_chain.assets[1]: 'genset-1' is fed by nothing: only a genset" in text
    )


def test_racks_that_nobody_feeds_are_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, ('to: "r[1-2]-[01-08]-pdu-a"', 'to: "r1-[01-08]-pdu-a"'),
                   ('to: "r[1-2]-[01-08]-pdu-b"', 'to: "r1-[01-08]-pdu-b"'))  # fmt: skip
    assert "power_chain.edges: rack 'r2-01' (and 7 more) is fed by nothing" in text


def test_two_sides_on_one_asset_are_refused_unless_its_owner_knows(tmp_path: Path) -> None:
    both = ("{from: tr-b, to: mlvb-b,", "{from: tr-a, to: mlvb-b,")
    unfed = ('"tr-[a-b]", watts', "tr-a, watts"), ('id: "tr-[a-b]"', "id: tr-a")
    text = refused(tmp_path, both, *unfed)
    assert "both hang on 'tr-a': one fault there takes both" in text
    assert "'common: true'" in text
    known = ("load_loss_watts: 9000", "load_loss_watts: 9000, common: true")
    assert load_site(changed(tmp_path, both, *unfed, known)).chains.power


def test_a_rating_needs_its_derating_and_amperes_their_volts(tmp_path: Path) -> None:
    text = refused(
        tmp_path, ('"tr-[a-b]", watts: 1.0e+6, derating: 1.0', '"tr-[a-b]", watts: 1.0e+6')
    )
    assert "a rating without its continuous derating" in text
    amperes = "tr-b, to: mlvb-b, amperes: 1400"
    text = refused(tmp_path, (f"{amperes}, volts: 400", amperes))
    assert "needs 'volts'" in text


def test_unknown_assets_get_the_nearest_name(tmp_path: Path) -> None:
    text = refused(tmp_path, ("{from: tr-b, to: mlvb-b,", "{from: tr-bb, to: mlvb-b,"))
    assert "unknown asset 'tr-bb'" in text
    assert "'tr-b'" in text


def test_a_group_says_how_many_are_needed(tmp_path: Path) -> None:
    text = refused(tmp_path, ("{id: chillers, needed: 2}", "{id: chillers, needed: 4}"))
    assert "4 needed, and 3 there are" in text
    stated = "  groups:\n    - {id: chillers, needed: 2}\n"
    text = refused(tmp_path, (stated, ""))
    assert "group 'chillers' does not say how many are needed" in text


def test_one_asset_feeds_another_once(tmp_path: Path) -> None:
    text = refused(tmp_path, ('{from: "chiller-2", to', '{from: "chiller-1", to'))
    assert "'chiller-1' feeds 'loop-1' twice (line" in text
