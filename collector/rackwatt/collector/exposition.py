# SPDX-License-Identifier: Apache-2.0
"""Metric families as Prometheus reads them, written off the event loop."""

import asyncio
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import Response


class _Snapshot(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


async def exposition(families: Iterable[Metric], more: bytes = b"") -> Response:
    """The answer to a scrape.

    The families are made by the caller, on the event loop, where nothing changes meanwhile; what
    takes long, writing thousands of series as text, is done in a thread.

    Args:
        families: each metric once.
        more: further metrics that are text already.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(list(families)))
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text + more, media_type=CONTENT_TYPE_LATEST)
