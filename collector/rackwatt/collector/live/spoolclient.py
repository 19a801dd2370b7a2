# SPDX-License-Identifier: Apache-2.0
"""The accountant's way to a collector: its spool, its state and its metrics, over HTTP."""

from typing import Any

import httpx

from rackwatt.collector.ingest import frames
from rackwatt.collector.ingest.spool import Record


class CollectorUnavailable(ConnectionError):  # noqa: N818 - a state, not a fault
    """The collector did not answer, or not as one does."""


class CollectorClient:
    """One collector.

    Args:
        url: its address.
        token: what it wants to see at `/internal/…`.
        client: the HTTP client, shared.
    """

    def __init__(self, url: str, token: str, client: httpx.AsyncClient) -> None:
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}
        self._client = client

    async def _get(self, path: str, timeout: float) -> httpx.Response:
        try:
            response = await self._client.get(
                f"{self.url}{path}", headers=self._headers, timeout=timeout
            )
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise CollectorUnavailable(f"collector {self.url}{path}: {error!r}") from error
        return response

    async def _object(self, path: str, *wanted: str) -> dict[str, Any]:
        response = await self._get(path, 5.0)
        try:
            answer = response.json()
        except ValueError as error:
            raise CollectorUnavailable(f"collector {self.url}{path}: {error}") from error
        if not isinstance(answer, dict) or not answer.keys() >= set(wanted):
            raise CollectorUnavailable(f"collector {self.url}{path}: no collector's answer")
        return answer

    async def identity(self) -> str:
        """Which spool it is.

        Raises:
            CollectorUnavailable: no answer, or not a collector's.
        """
        return str((await self._object("/internal/identity", "spool"))["spool"])

    async def spool(self, identity: str, after: int, booked: int | None = None) -> list[Record]:
        """The messages after `after`; waits up to 10 s for one. Says what is booked.

        Args:
            identity: the spool that `after` belongs to.
            after: the last message that was read; 0: none yet.
            booked: the last one that was booked; None: all that was read.

        Raises:
            CollectorUnavailable: no answer, half of one, or it is another spool by now.
        """
        query = f"spool={identity}&after={after}"
        if booked is not None:
            query += f"&booked={booked}"
        response = await self._get(f"/internal/spool?{query}", 20.0)
        try:
            return list(frames.unpack(response.content))
        except ValueError as error:
            raise CollectorUnavailable(f"collector {self.url}: {error}") from error

    async def state(self) -> dict[str, Any]:
        """Agents, nodes, clocks and data quality.

        Raises:
            CollectorUnavailable: no answer, or not a collector's.
        """
        return await self._object("/internal/state", "agents", "nodes", "quality", "clock_offsets")

    async def metrics(self) -> bytes:
        """Its own metrics, in Prometheus' text format.

        Raises:
            CollectorUnavailable: no answer.
        """
        return (await self._get("/metrics", 5.0)).content
