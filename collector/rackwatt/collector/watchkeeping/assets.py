# SPDX-License-Identifier: Apache-2.0
"""What can be out for maintenance: whatever the site file names."""

from rackwatt.collector.site import Site
from rackwatt.collector.site.console import stop
from rackwatt.collector.site.problems import near


def assets_of(site: Site, now_ms: int) -> frozenset[str]:
    """Assets of both chains, racks, nodes, devices and meters of a site."""
    return frozenset(
        {
            *site.chains.power.assets,
            *site.chains.cooling.assets,
            *(rack.id for rack in site.racks_at(now_ms)),
            *site.node_racks,
            *site.places.fixed,
            *site.places.dated,
            *site.meters_at(now_ms),
        }
    )


def need_asset(site: Site, name: str, now_ms: int) -> str:
    """See that a site has an asset.

    Raises:
        typer.Exit: it has not.
    """
    known = assets_of(site, now_ms)
    if name not in known:
        hint = near(name, known)
        stop(
            f"the site file knows no asset, rack or device {name!r}"
            + (f" ({hint})" if hint else "")
        )
    return name
