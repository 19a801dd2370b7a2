# SPDX-License-Identifier: Apache-2.0
"""Metric families as Prometheus reads them, written off the event loop."""

import asyncio
from collections.abc import Iterable, Sequence

from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from rackwatt.wire.metrics import Family


async def exposition(families: Iterable[Metric], more: bytes = b"") -> Response:
    """The answer to a scrape.

    The families are made by the caller, on the event loop, where nothing changes meanwhile; what
    takes long, writing thousands of series as text, is done in a thread.

    Args:
        families: each metric once.
        more: further metrics that are text already.

    Raises:
        TypeError: a family was not made by a `MetricSpec`.
    """
    text = await asyncio.to_thread(_written, list(families))
    return Response(text + more, media_type=CONTENT_TYPE_LATEST)


def _written(families: Sequence[Metric]) -> bytes:
    parts: list[str] = []
    for family in families:
        if not isinstance(family, Family):
            raise TypeError(f"{family.name} has no text")
        parts.append(family.text())
    return "".join(parts).encode()
