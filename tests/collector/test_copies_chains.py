# SPDX-License-Identifier: Apache-2.0
"""The chains' history in both stores."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collector.test_copies_copier import Desk, desk

from rackwatt.collector.accounting.capacity.redundancy import Redundancy
from rackwatt.collector.copies.chain_rows import FEED, GROUP, RACK, SITE, chain_rows
from rackwatt.collector.copies.copier import BESIDE
from rackwatt.collector.live.chain import ChainState, LiveChains
from rackwatt.collector.live.devices import Devices
from rackwatt.collector.roles.chain_history import ChainHistory
from rackwatt.collector.roles.chains import Chains
from rackwatt.collector.site import Site, load_site
from rackwatt.collector.store import EmbeddedStore, InfluxStore, Row, StoreUnavailable, read
from rackwatt.wire.clock import ManualClock
from rackwatt.wire.codec import ReceivedReading
from servers.fixtures import InfluxBucket, influx_bucket, influxdb

__all__ = ["desk", "influx_bucket", "influxdb"]  # fixtures

NOW = 1_790_000_000_000


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path("docs/examples/site-chains.yaml"))


def seen(site: Site, silent: str = "") -> ChainState:
    devices = Devices(site)
    for rack in site.racks:
        for pdu in rack.pdus:
            if pdu == silent:
                continue
            values = {f"current_l{n}_amperes": 10.0 + n for n in (1, 2, 3)}
            devices.observe("power", ReceivedReading(pdu, NOW, {"power_watts": 8e3, **values}), NOW)
    return LiveChains(site, devices).state(NOW)


def rows_of(site: Site, state: ChainState, *, racks: bool = True) -> list[Row]:
    return chain_rows(site.id, site.chains, state, NOW, racks=racks)


def test_every_feed_group_and_rack_stands_there_with_what_is_known(site: Site) -> None:
    state = seen(site)
    rows = rows_of(site, state)
    feeds = {dict(row.tags)["feed"]: row for row in rows if row.measurement == FEED}
    known = {name for name, one in state.edges.items() if one.load.watts is not None}
    assert known
    assert known <= feeds.keys()
    for name in known:
        one, found = state.edges[name], feeds[name].fields
        assert found["power_watts"] == one.load.watts
        assert found.get("load_ratio") == (one.ratio if one.edge.rated else None)
    assert {dict(row.tags).get("side", "") for row in feeds.values()} >= {"A", "B"}
    (whole,) = [row for row in rows if row.measurement == SITE]
    assert state.room is not None
    assert whole.fields.get("sellable_watts") == state.room.sellable_watts
    assert all(isinstance(value, float) for row in rows for value in row.fields.values())
    keys = [(row.measurement, row.tags) for row in rows]
    assert len(set(keys)) == len(keys), "no row overwrites another"


def test_what_is_unknown_is_no_field_and_never_0(site: Site) -> None:
    silent = site.racks[0].pdus[0]
    all_there, one_silent = seen(site), seen(site, silent)
    lost = {
        name for name, one in one_silent.edges.items()
        if one.load.watts is None and all_there.edges[name].load.watts is not None
    }  # fmt: skip
    assert lost
    feeds = {
        dict(row.tags)["feed"]: row for row in rows_of(site, one_silent) if row.measurement == FEED
    }
    assert all("power_watts" not in feeds[name].fields for name in lost & feeds.keys())
    unknown = replace(ChainState(), groups={"ups": Redundancy(1, 2, None)})
    (group,) = [row for row in rows_of(site, unknown) if row.measurement == GROUP]
    assert group.fields == {"needed_number": 1.0}


def test_without_racks_what_is_above_them_stays(site: Site) -> None:
    state = seen(site)
    whole, above = rows_of(site, state), rows_of(site, state, racks=False)
    assert 0 < len(above) < len(whole)
    assert not [row for row in above if row.measurement == RACK]
    targets = {dict(row.tags)["feed"].partition(">")[2] for row in above if row.measurement == FEED}
    assert not targets & {rack.id for rack in site.racks}


async def copy(desk: Desk, store: Any, rows: Sequence[Row]) -> None:
    copier = desk.copier(store)
    copier.add(rows)
    await copier.open()
    await copier.finish()
    assert copier.points == len(rows)
    await copier.aclose()


async def test_they_are_read_back_from_the_embedded_store(desk: Desk, site: Site) -> None:
    rows = rows_of(site, seen(site))
    store = EmbeddedStore(desk.folder / "books", clock=ManualClock(NOW + 1000))
    await copy(desk, store, rows)
    for name in {row.measurement for row in rows}:
        found = {(frozenset(row.tags.items()), row.time_ms): row.fields
                 for row in read(desk.folder / "books", name)}  # fmt: skip
        expected = {(frozenset(row.tags), NOW): row.fields
                    for row in rows if row.measurement == name}  # fmt: skip
        assert found == expected


async def test_they_are_read_back_from_influxdb(
    desk: Desk, site: Site, influx_bucket: InfluxBucket
) -> None:
    place = influx_bucket
    store = InfluxStore(url=place.url, org=place.org, bucket=place.bucket, token=place.token)
    rows = rows_of(site, seen(site))
    await copy(desk, store, rows)
    found = await asyncio.to_thread(place.query_influxql, f'SELECT * FROM "{FEED}"')  # noqa: S608
    expected = {dict(row.tags)["feed"]: row.fields for row in rows if row.measurement == FEED}
    assert {row["feed"] for row in found} == expected.keys()
    for row in found:
        told = {name: row[name] for name in expected[row["feed"]]}
        assert told == expected[row["feed"]]


class Away(EmbeddedStore):
    """A store that is away until it is back."""

    away = True

    async def write(self, rows: Sequence[Row]) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return await super().write(rows)


async def test_what_a_store_that_is_away_did_not_take_comes_later(desk: Desk, site: Site) -> None:
    store = Away(desk.folder / "books", clock=ManualClock(NOW + 1000))
    copier = desk.copier(store)
    await copier.open()
    batches = [
        chain_rows(site.id, site.chains, seen(site), NOW + n, racks=False) for n in range(BESIDE)
    ]
    for batch in batches:
        copier.add(batch)
    with pytest.raises(StoreUnavailable):
        await copier.finish()
    assert copier.forgotten == 0
    copier.add(batches[-1])
    assert copier.forgotten == len(batches[0]), "memory is bounded: the oldest go"
    store.away = False
    await copier.finish()
    await copier.aclose()
    times = {row.time_ms for row in read(desk.folder / "books", SITE)}
    assert times == {NOW + n for n in range(1, BESIDE)}


async def test_a_look_is_handed_over_once(site: Site) -> None:
    clock = ManualClock(NOW)
    chains = Chains(site, Devices(site), clock, asyncio.Lock())
    taken: list[Sequence[Row]] = []
    history = ChainHistory(site, chains, taken.append, clock)
    await history._keep(racks=True)
    assert taken == [], "nothing was looked at yet"
    chains.state, chains.time_ms = seen(site), NOW
    await history._keep(racks=True)
    await history._keep(racks=True)
    assert len(taken) == 1
    assert {row.time_ms for row in taken[0]} == {NOW}
