# SPDX-License-Identifier: Apache-2.0
"""The figures now: from the newest readings, through the same accounting as the books."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rackwatt.collector.accounting.battery import BatteryParameters, BatteryState
from rackwatt.collector.accounting.channels import (
    CHANNELS,
    FORWARD,
    OUTPUT,
    Channel,
    Tap,
    TermsLike,
    summed,
    taps,
)
from rackwatt.collector.accounting.claims import match
from rackwatt.collector.accounting.factors import SiteFactors
from rackwatt.collector.accounting.flows import Flows, of_site
from rackwatt.collector.accounting.interval import IntervalAccount, account_network
from rackwatt.collector.accounting.keyfigures import Shares, shares
from rackwatt.collector.accounting.registers import RegisterSpec
from rackwatt.collector.accounting.vocabulary import LOADS, Series, total
from rackwatt.collector.live.demand import Demand, SettlementLike, live_demand
from rackwatt.collector.live.hour import HourSoFar
from rackwatt.collector.live.livesite import LiveSite
from rackwatt.collector.live.moment import (
    HOUR_SECONDS,
    SILENT_MS,
    after_losses,
    estimate,
    fresh,
    sinks,
    sources,
    times,
)
from rackwatt.collector.live.pue import WINDOW_MS, LivePue, UpsWatch, live_pue
from rackwatt.collector.live.window import Feed
from rackwatt.wire.inventory import Register

_SPARE_MS: Final = 2 * 60_000
KEEP_MS: Final = WINDOW_MS + _SPARE_MS
BEHIND_MS: Final = 2000
"""The figures are at most this far behind the newest reading."""

FUTURE_MS: Final = 300_000
STARTING_MS: Final = 30_000
"""A meter that was never read is missing only after so long."""

_FAST_RATIO: Final = 2
_TERMS_A_SECOND: Final = 2500
"""The PUE of so many terms may be formed in each second."""
_SECOND_MS: Final = 1000
_CATCH_UP_MS: Final = 10_000


def kept_for(settlement: SettlementLike | None) -> int:
    """How far back grid readings are needed for a utility's window, ms."""
    return 0 if settlement is None else round(settlement.window_seconds * 1000) + _SPARE_MS


@dataclass(frozen=True, slots=True)
class Figures:
    """What the page and the metrics show. Powers in W, ``None`` = unknown.

    Attributes:
        instant_ms: What the powers are of; ``None`` before the first reading.
        pue: The PUE with its reason.
        sources: Metered power by source: ``pv wind hydro grid genset`` as far as the site has
            them, ``battery`` (its discharge) and ``unknown`` (what sinks took beyond them).
        sinks: ``it cooling losses other campus export`` as far as the site has them, ``charge``
            and ``unmetered``.
        load_watts: Consumption of the data center.
        source_share: Origin of that consumption, battery traced back; sums to 1.
        shares: Renewable, grid, carbon-free, carbon, contracted, on-site, unknown.
        intensity: g/kWh of that consumption by series (``life_cycle``, ``operational``).
        residual_ratio: Residual as a part of the sources, signed.
        after_losses_ratio: The same less what transformers and lines lose by their models;
            ``None`` also where the site names none.
        completeness: Part of the terms that have a fresh reading, 0..1.
        missing: Meters without one.
        battery: The stock by origin and its carbon.
        battery_known: The site has a battery.
        demand: The utility's running window; ``None`` where the site has none.
    """

    instant_ms: int | None
    pue: LivePue
    sources: Mapping[str, float | None] = field(default_factory=dict)
    sinks: Mapping[str, float | None] = field(default_factory=dict)
    load_watts: float | None = None
    source_share: Mapping[str, float] | None = None
    shares: Shares = field(default_factory=Shares)
    intensity: Mapping[Series, float | None] = field(default_factory=dict)
    residual_ratio: float | None = None
    after_losses_ratio: float | None = None
    completeness: float = 0.0
    missing: tuple[str, ...] = ()
    battery: BatteryState = field(default_factory=BatteryState)
    battery_known: bool = False
    demand: Demand | None = None


class LiveFigures:
    """Takes readings in and says what they mean now.

    Characteristics: single-threaded, no clock of its own; readings may come late and twice;
    memory is bounded by the site's meters and a quarter of an hour.

    Args:
        site: Roles and contracts.
        factors: Emission factors.
        parameters: The battery.
        state: What the battery holds to begin with.
        state_ms: When it held that; ``None``: when the first readings come.
        now_ms: The present; from then on :meth:`figures` tells it. Readings more than 5 min ahead
            of it are left out.
    """

    def __init__(
        self,
        site: LiveSite,
        factors: SiteFactors,
        parameters: BatteryParameters,
        state: BatteryState,
        state_ms: int | None = None,
        now_ms: int | None = None,
    ) -> None:
        self._site = site
        self._factors = factors
        self._parameters = parameters
        self._state, self._state_ms = state, state_ms
        self._feeds: dict[tuple[str, Channel], Feed] = {}
        self._specs: dict[tuple[str, str], RegisterSpec] = {}
        self._ups = UpsWatch()
        self._hour = HourSoFar()
        self._first_ms: int | None = None
        self._now_ms = now_ms
        self._terms: TermsLike | None = None
        self._taps: tuple[Tap, ...] = ()
        self._wanted: frozenset[str] = frozenset()
        self._channels: dict[str, tuple[Channel, ...]] = {}
        self._newest_ms: int | None = None
        self._pue_known: tuple[tuple[int, int | None], int, LivePue] | None = None

    def observe(self, device: str, time_ms: int, values: Mapping[str, float | None]) -> None:
        """Take in one power reading of one device.

        Args:
            device: Its name on the wire.
            time_ms: The reading's own time.
            values: Fields by name; a field that is absent is one that the meter does not have.
        """
        if self._now_ms is not None and time_ms > self._now_ms + FUTURE_MS:
            return  # kept by the ledger, but shown nowhere
        self._now_ms = None if self._now_ms is None else max(self._now_ms, time_ms)
        if self._terms is None:
            self._refresh(time_ms)
        self._ups.observe(device, time_ms, values)
        if device not in self._wanted:
            return
        if self._first_ms is None or time_ms < self._first_ms:
            self._first_ms = time_ms
        for channel in self._channels_of(device):
            if channel.power in values or channel.energy in values:
                feed = self._feed(device, channel)
                feed.add(time_ms, values)
                read = feed.times.times
                if read and (self._newest_ms is None or read[-1] > self._newest_ms):
                    self._newest_ms = read[-1]

    def registers(self, device: str, registers: Mapping[str, Register]) -> None:
        """Note how a device's registers count (from its inventory)."""
        for name, register in registers.items():
            spec = RegisterSpec(
                modulus_watt_hours=register.modulus_watt_hours,
                resolution_watt_hours=register.resolution_watt_hours,
            )
            self._specs[device, name] = spec
            for channel in CHANNELS:
                if channel.energy == name and (device, channel) in self._feeds:
                    self._feeds[device, channel].counts(spec)

    def seed(self, state: BatteryState, time_ms: int) -> None:
        """Go on from the ledger's battery state at the end of its last closed interval."""
        self._state, self._state_ms = state, time_ms

    def figures(self, now_ms: int) -> Figures:
        """Return the figures for the newest instant that they can be formed for.

        Args:
            now_ms: The present. Readings ahead of it do not pull the others along.
        """
        self._now_ms = now_ms
        newest = self._newest(now_ms)
        if newest is None:
            return Figures(None, LivePue(None, None, reason="starting"))
        self._refresh(newest)
        terms = self._members()
        instant = self._instant(terms, newest, now_ms)
        self._advance(terms, instant)
        watts = [(tap, fresh(feed, instant, now_ms)) for tap, feed in terms]
        flows = self._site_flows(watts)
        missing = sorted({tap.device for tap, value in watts if value is None})
        moment = [(tap, times(value, 1.0 / HOUR_SECONDS)) for tap, value in watts]
        result = self._book(moment, instant)
        known = sum(value is not None for _, value in watts)
        return Figures(
            instant_ms=instant,
            pue=self._pue(terms, newest, now_ms),
            sources=sources(flows, result),
            sinks=sinks(flows, result),
            load_watts=total(flows.sinks[name] for name in LOADS if name in flows.sinks),
            source_share=result.shares,
            shares=self._shares(flows, result, instant),
            intensity=result.intensity,
            residual_ratio=result.residual_ratio,
            after_losses_ratio=after_losses(
                self._site.modelled_losses, self._losing(instant, now_ms), flows, result
            ),
            completeness=known / len(watts) if watts else 0.0,
            missing=tuple(missing),
            battery=self._state,
            battery_known=any(tap.flow == "charge" for tap, _ in terms),
            demand=self._demand(terms, watts, instant),
        )

    # --- terms ---------------------------------------------------------------------------------

    def _feed(self, device: str, channel: Channel) -> Feed:
        feed = self._feeds.get((device, channel))
        if feed is None:
            feed = self._feeds[device, channel] = Feed(channel, self._keep_ms(device))
            feed.counts(self._specs.get((device, channel.energy), RegisterSpec()))
            if channel == OUTPUT:
                self._terms = None  # IT may be metered there: the terms must be formed anew
        return feed

    def _channels_of(self, device: str) -> tuple[Channel, ...]:
        """Which directions of a meter matter: many tell more than the site has terms for."""
        found = self._channels.get(device)
        if found is None:
            used = {tap.channel for tap in self._taps if tap.device == device}
            found = tuple(c for c in CHANNELS if c in used or c in (FORWARD, OUTPUT))
            self._channels[device] = found
        return found

    def _keep_ms(self, device: str) -> int:
        """How far back a meter's readings are needed: a grid meter's for the whole window."""
        settlement = self._site.settlement
        if settlement is None or all(t.device != device or t.flow != "grid" for t in self._taps):
            return KEEP_MS
        return max(KEEP_MS, kept_for(settlement))

    def _refresh(self, time_ms: int) -> None:
        """Form the terms anew when the topology or what meters know has changed."""
        terms = self._site.terms_at(time_ms)
        if terms is self._terms:
            return
        self._terms = terms
        outputs = {device for device, channel in self._feeds if channel == OUTPUT}
        self._taps = taps(terms, outputs)
        claims = {contract.meter for contract in self._site.contracts}
        losing = {meter for model in self._site.modelled_losses for meter in model.meters}
        self._wanted = frozenset({tap.device for tap in self._taps} | claims | losing)
        self._channels = {}

    def _members(self) -> list[tuple[Tap, Feed | None]]:
        found = ((tap, self._signed(tap.device, tap.channel)) for tap in self._taps)
        return [(tap, feed) for tap, feed in found if feed is not None or not tap.optional]

    def _signed(self, device: str, channel: Channel) -> Feed | None:
        """What a meter in service said; what another one says enters no figure."""
        waits = self._terms is not None and device in self._terms.not_in_service
        return None if waits else self._feeds.get((device, channel))

    def _newest(self, now_ms: int) -> int | None:
        return None if self._newest_ms is None else min(self._newest_ms, now_ms)

    def _instant(self, terms: Sequence[tuple[Tap, Feed | None]], newest: int, now_ms: int) -> int:
        """The newest time for which every fast term has a reading, at most 2 s behind."""
        known = [feed.times for _, feed in terms if feed is not None]
        alive = [(own.cadence_ms, own.last) for own in known if own.times]
        quickest = min((cadence for cadence, _ in alive), default=_SECOND_MS)
        fast = [last for cadence, last in alive if cadence <= _FAST_RATIO * quickest]
        return max(newest - BEHIND_MS, min([*fast, now_ms, newest]))

    # --- energy --------------------------------------------------------------------------------

    def _buses(self) -> Sequence[str]:
        return () if self._terms is None else self._terms.buses

    def _site_flows(self, terms: Sequence[tuple[Tap, float | None]]) -> Flows:
        """Sum terms up to the flows of the whole site."""
        nodes, _ = summed(terms, self._buses())
        return of_site(list(nodes.values()))

    def _losing(self, instant: int, now_ms: int) -> dict[str, float | None]:
        """Power at the meters by which losses are modelled."""
        meters = {meter for model in self._site.modelled_losses for meter in model.meters}
        return {m: fresh(self._signed(m, FORWARD), instant, now_ms) for m in sorted(meters)}

    def _book(self, terms: Sequence[tuple[Tap, float | None]], instant: int) -> IntervalAccount:
        """Book energies as the ledger does."""
        nodes, ties = summed(terms, self._buses())
        factors = self._factors.at(instant)
        return account_network(nodes, ties, self._state, self._parameters, factors)

    def _advance(self, terms: Sequence[tuple[Tap, Feed | None]], instant: int) -> None:
        """Move the battery's state up to an instant, second by second, and the running hour."""
        # What lies before the readings that are here cannot be followed.
        first = instant if self._first_ms is None else max(self._first_ms, instant - KEEP_MS)
        at = first if self._state_ms is None else max(self._state_ms, first)
        while at < instant:
            step = _SECOND_MS if instant - at <= 3 * _CATCH_UP_MS else _CATCH_UP_MS
            end = min(at + step, instant)
            found = [(tap, estimate(feed, at, end)) for tap, feed in terms]
            booked = self._book(found, instant)
            self._state = booked.battery
            claims = {name: estimate(feed, at, end) for name, feed in self._plants(instant)}
            imported = total(times(v, tap.sign) for tap, v in found if tap.flow == "grid")
            self._hour.add(at, end, claims, imported, booked.boundary)
            at = end
        self._state_ms = at

    def _demand(
        self,
        terms: Sequence[tuple[Tap, Feed | None]],
        watts: Sequence[tuple[Tap, float | None]],
        instant: int,
    ) -> Demand | None:
        settlement = self._site.settlement
        if settlement is None:
            return None
        both = [(tap, feed, w) for (tap, feed), (_, w) in zip(terms, watts, strict=True)]
        return live_demand(settlement, both, instant)

    def _pue(self, terms: Sequence[tuple[Tap, Feed | None]], newest: int, now_ms: int) -> LivePue:
        """Form it, on a site of very many terms only every few seconds: it is of 15 minutes."""
        known = self._pue_known
        state = len(terms), -1 if self._ups.is_open else self._ups.closed_ms
        pace = len(terms) // _TERMS_A_SECOND * _SECOND_MS
        if known is not None and known[0] == state and 0 <= newest - known[1] <= pace:
            return known[2]
        found = self._new_pue(terms, newest, now_ms)
        if pace and found.value is not None:
            self._pue_known = state, newest, found
        return found

    def _new_pue(
        self, terms: Sequence[tuple[Tap, Feed | None]], newest: int, now_ms: int
    ) -> LivePue:
        category = None if self._terms is None else self._terms.pue_category
        reference = max(newest, now_ms - SILENT_MS)
        floor = self._ups.closed_ms or 0
        found = live_pue(terms, self._parameters, category, reference, floor)
        if self._ups.is_open:
            return replace(found, value=None, reason="ups_on_battery")
        unread = any(feed is None or not feed.times for _, feed in terms)
        started = self._first_ms is None or newest - self._first_ms < STARTING_MS
        if found.reason is not None and unread and started:
            return replace(found, reason="starting")
        return found

    def _shares(self, flows: Flows, result: IntervalAccount, instant: int) -> Shares:
        ratio = self._factors.at(instant).grid_carbon_free_ratio
        sold = {source: supply.attributes for source, supply in self._site.supply.items()}
        found = shares(result.shares, ratio, self._contracted(flows, result, instant), sold)
        if result.shares is None or not result.load:
            return found
        # What of the grid's energy in the battery is carbon-free was settled when it was imported.
        free = times(result.carbon_free, 1.0 / result.load)
        return replace(found, carbon_free=free, carbon=None if free is None else 1.0 - free)

    def _contracted(self, flows: Flows, result: IntervalAccount, instant: int) -> float | None:
        """Matched claims as a part of ``E_DC``, over the running hour; at first of the moment."""
        claims = {
            name: None if feed is None else feed.watts(instant)
            for name, feed in self._plants(instant)
        }
        known = {name: watts for name, watts in claims.items() if watts is not None}
        imported = flows.sources.get("grid", 0.0)
        inside = times(result.boundary, HOUR_SECONDS)
        if len(known) < len(claims) or imported is None or inside is None or inside <= 0.0:
            return None
        share = self._hour.share
        return match(known, imported).total / inside if share is None else share

    def _plants(self, instant: int) -> list[tuple[str, Feed | None]]:
        """The meter of each contract that holds."""
        holding = (c for c in self._site.contracts if c.validity.holds(instant))
        return [(c.id, self._signed(c.meter, FORWARD)) for c in holding]
