# SPDX-License-Identifier: Apache-2.0
"""Proportional sharing on one bus: every sink gets the mix of the bus."""

from collections.abc import Mapping

from rackwatt.collector.accounting.vocabulary import normalised


def share(sources: Mapping[str, float], sinks: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return, for each sink, the energy it had from each source (Wh).

    ``x[s, d] = D[d] * S[s] / sum(S)``. Where sources and sinks balance, each source is used up.

    Args:
        sources: Energies of the sources, by name; >= 0.
        sinks: Energies of the sinks, by name.

    Returns:
        ``result[sink][source]``; empty if the sources sum to 0: there is no mix to share.
    """
    mix = normalised(sources)
    if mix is None:
        return {}
    return {
        sink: {source: energy * part for source, part in mix.items()}
        for sink, energy in sinks.items()
    }
