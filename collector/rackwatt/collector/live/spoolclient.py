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

    async def identity(self) -> str:
        """Which spool it is.

        Raises:
            CollectorUnavailable: no answer.
        """
        return str((await self._get("/internal/identity", 5.0)).json()["spool"])

    async def spool(self, after: int) -> list[Record]:
        """The messages after `after`; waits up to 10 s for one. Says that `after` is booked.

        Raises:
            CollectorUnavailable: no answer, or half of one.
        """
        response = await self._get(f"/internal/spool?after={after}", 20.0)
        try:
            return list(frames.unpack(response.content))
        except ValueError as error:
            raise CollectorUnavailable(f"collector {self.url}: {error}") from error

    async def state(self) -> dict[str, Any]:
        """Agents, nodes and data quality.

        Raises:
            CollectorUnavailable: no answer.
        """
        answer: dict[str, Any] = (await self._get("/internal/state", 5.0)).json()
        return answer

    async def metrics(self) -> bytes:
        """Its own metrics, in Prometheus' text format.

        Raises:
            CollectorUnavailable: no answer.
        """
        return (await self._get("/metrics", 5.0)).content
