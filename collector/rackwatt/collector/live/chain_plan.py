# SPDX-License-Identifier: Apache-2.0
"""What of a chain does not change: the halls that assets feed, and racks with the same feeds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rackwatt.collector.accounting.capacity.chain import Chain
from rackwatt.collector.site.topology import Site, SiteChains

LEAVES: Final = frozenset({"rack", "rack_pdu", "power_shelf"})
"""Kinds that are summed up."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Racks that hang on the same assets, as a row does on its two busways.

    Attributes:
        id: The row, where all are of one; else the first and the last rack.
        hall: The hall that all stand in, ``""``: several.
        feeds: The assets right above them that are not a rack's own.
        racks: The racks.
    """

    id: str
    hall: str
    feeds: tuple[str, ...]
    racks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """One chain's halls and banks.

    Attributes:
        halls: The one hall that an asset feeds, by asset; ``""``: several, or unknown.
        banks: In the order of the chain.
    """

    halls: Mapping[str, str]
    banks: tuple[Bank, ...]


@dataclass(frozen=True, slots=True)
class Plans:
    """Both chains' plans."""

    power: ChainPlan
    cooling: ChainPlan

    @classmethod
    def of_site(cls, site: Site) -> "Plans":
        """Those of a site, its racks where they stand now."""
        racks = {rack.id: (rack.hall, rack.row) for rack in site.racks}
        return cls.of(site.chains, racks)

    @classmethod
    def of(cls, chains: SiteChains, racks: Mapping[str, tuple[str, str]]) -> "Plans":
        """Those of chains.

        Args:
            chains: Both.
            racks: Hall and row by rack.
        """
        return cls(_plan(chains.power, racks), _plan(chains.cooling, racks))


def _plan(chain: Chain, racks: Mapping[str, tuple[str, str]]) -> ChainPlan:
    halls: dict[str, frozenset[str]] = {}
    for name in reversed(chain.order):
        own = {racks[name][0]} if name in racks else set[str]()
        halls[name] = frozenset(own.union(*(halls[edge.target] for edge in chain.out_of(name))))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in chain.order:
        if chain.assets[name].kind == "rack":
            groups.setdefault(_feeds(chain, name), []).append(name)
    banks = tuple(_bank(feeds, names, racks) for feeds, names in groups.items())
    return ChainPlan({name: _only(found) for name, found in halls.items()}, banks)


def _feeds(chain: Chain, rack: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting = [edge.source for edge in chain.into(rack)]
    while waiting:
        name = waiting.pop()
        if chain.assets[name].kind in LEAVES:
            waiting += [edge.source for edge in chain.into(name)]
        else:
            found[name] = None
    return tuple(sorted(found))


def _bank(
    feeds: tuple[str, ...], names: Iterable[str], racks: Mapping[str, tuple[str, str]]
) -> Bank:
    members = tuple(sorted(names))
    row = _only({racks[name][1] for name in members if name in racks})
    hall = _only({racks[name][0] for name in members if name in racks})
    last = f" – {members[-1]}" if len(members) > 1 else ""
    return Bank(row or f"{members[0]}{last}", hall, feeds, members)


def _only(found: Iterable[str]) -> str:
    names = set(found)
    return names.pop() if len(names) == 1 else ""
