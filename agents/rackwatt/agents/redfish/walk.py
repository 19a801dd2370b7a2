# SPDX-License-Identifier: Apache-2.0
"""Ways through a service: from a resource along its links to others.

Links are followed as the service gives them; no path is made up. What a service once had and has
no longer is remembered: a power supply that was pulled out is gone, not forgotten.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from rackwatt.agents.redfish.client import ROOT, Client, GetFailed, own_path
from rackwatt.agents.redfish.values import Found, pick
from rackwatt.wire.readings import Quality

_MOST_MEMBERS: Final = 2000
_EXPAND: Final = "?$expand=.($levels=1)"


@dataclass(frozen=True, slots=True)
class Spot:
    """A resource that a way led to, and the members that were picked on it."""

    path: str
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Round:
    """What was read at one time: each resource once."""

    client: Client
    urgent: bool = False
    read: dict[str, asyncio.Task[dict[str, Any]]] = field(default_factory=dict)

    async def get(self, path: str) -> dict[str, Any]:
        """A resource, as it is now.

        Raises:
            GetFailed: nothing came of it.
        """
        task = self.read.get(path)
        if task is None:
            asking = self.client.get(path, urgent=self.urgent)
            task = self.read[path] = asyncio.create_task(asking, name=path)
        return await asyncio.shield(task)

    async def found(self, path: str) -> Found:
        """A resource, or why there is none."""
        try:
            return await self.get(path)
        except GetFailed as error:
            return error.quality

    async def close(self) -> None:
        """End what is still under way."""
        for task in self.read.values():
            task.cancel()
        await asyncio.gather(*self.read.values(), return_exceptions=True)


class Walker:
    """Finds resources of a service.

    Args:
        client: of the service.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._expands = False
        self._spots: dict[tuple[str, str], tuple[Spot, ...]] = {}
        self._members: dict[str, tuple[str, ...]] = {}
        self._under_way: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def root(self) -> dict[str, Any]:
        """The service's root; also learns what it can.

        Raises:
            GetFailed: nothing came of it.
        """
        root = await self._client.get(ROOT, fixed=True)
        found = pick(root, "ProtocolFeaturesSupported/ExpandQuery/NoLinks")
        levels = pick(root, "ProtocolFeaturesSupported/ExpandQuery/Levels")
        self._expands = found == [True] and levels == [True]
        return root

    async def _get(self, path: str) -> dict[str, Any]:
        """A resource that seldom changes; two ways that cross ask for it once."""
        task = self._under_way.get(path)
        if task is None:
            task = asyncio.create_task(self._client.get(path, fixed=True), name=path)
            self._under_way[path] = task
            task.add_done_callback(lambda _: self._under_way.pop(path, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is still under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self) -> None:
        """Look anew what the service has, at the next walk."""
        self._spots.clear()

    async def find(self, start: str, way: str) -> tuple[Spot, ...]:
        """The resources at the end of a way; what leads there is remembered until `forget`.

        Raises:
            GetFailed: something on the way could not be read.
        """
        known = self._spots.get((start, way))
        if known is None:
            spots: tuple[Spot, ...] = (Spot(start),)
            for step in way.split("/"):
                lists = await asyncio.gather(*(self._step(spot, step) for spot in spots))
                spots = tuple(spot for each in lists for spot in each)
            known = spots
            if spots or start != ROOT:  # a service that is still starting shows nothing yet
                self._spots[start, way] = spots
        return known

    async def _step(self, spot: Spot, step: str) -> list[Spot]:
        try:
            resource = await self._get(spot.path)
        except GetFailed as error:
            if error.gone:
                return []
            raise
        members = resource.get("Members")
        if isinstance(members, list):
            paths = self._remembered(spot.path, await self._all(resource))
            chosen = [path for path in paths if fnmatchcase(_id(path), step)]
            return [Spot(path, (*spot.ids, _id(path))) for path in chosen]
        links = pick(resource, step)
        return [Spot(path, spot.ids) for link in links if (path := _path(link)) is not None]

    async def _all(self, resource: Mapping[str, Any]) -> list[str]:
        """All members of a collection, over its pages."""
        paths: list[str] = []
        seen: set[str] = set()
        page: Mapping[str, Any] = resource
        while True:
            members = page.get("Members")
            links = members if isinstance(members, list) else []
            paths += [path for link in links if (path := _path(link)) is not None]
            following = own_path_of(page.get("Members@odata.nextLink"))
            if following is None or following in seen or len(paths) > _MOST_MEMBERS:
                return paths[:_MOST_MEMBERS]
            seen.add(following)
            page = await self._get(following)

    def _remembered(self, collection: str, paths: Sequence[str]) -> tuple[str, ...]:
        known = self._members.get(collection, ())
        found = tuple(dict.fromkeys((*known, *paths)))[:_MOST_MEMBERS]
        self._members[collection] = found
        return found

    async def read(
        self, now: Round, start: str, way: str | None
    ) -> list[tuple[Spot, Found]] | None:
        """The resources at the end of a way, as they are now.

        Returns:
            None where the service has no such link.
        """
        if way is None:
            return [(Spot(start), await now.found(start))]
        try:
            spots = await self.find(start, way)
        except GetFailed as error:
            return [(Spot(start), error.quality)]
        if not spots:
            return None
        found = await self._expanded(now, [spot.path for spot in spots], way)
        if found is None:
            found = await asyncio.gather(*(now.found(spot.path) for spot in spots))
        return list(zip(spots, found, strict=True))

    async def _expanded(self, now: Round, paths: list[str], way: str) -> list[Found] | None:
        """All members of one collection in one request, where the service can do that."""
        parents = {path.rstrip("/").rpartition("/")[0] for path in paths}
        if not self._expands or len(paths) < 2 or len(parents) != 1 or "*" not in way:
            return None
        collection = parents.pop()
        if collection not in self._members:
            return None
        try:
            resource = await now.get(collection + _EXPAND)
        except GetFailed as error:
            if error.quality is Quality.TIMEOUT:
                return [Quality.TIMEOUT for _ in paths]
            self._expands = False
            return None
        listed = resource.get("Members")
        members = listed if isinstance(listed, list) else []
        whole = {path: member for member in members if (path := _path(member)) is not None}
        bare = any(len(member) < 2 for member in whole.values())
        if not whole or bare or "Members@odata.nextLink" in resource:
            self._expands = False  # it said that it could; what is not listed is not gone
            return None
        return [whole.get(path, Quality.NOT_SUPPORTED) for path in paths]


def own_path_of(link: object) -> str | None:
    """The path and query of a link that stays on the service."""
    if not isinstance(link, str):
        return None
    head, mark, query = link.partition("?")
    path = own_path(head, None)
    return None if path is None else path + mark + query


def _path(link: object) -> str | None:
    target = link.get("@odata.id") if isinstance(link, Mapping) else None
    return own_path_of(target) if isinstance(target, str) and "#" not in target else None


def _id(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
