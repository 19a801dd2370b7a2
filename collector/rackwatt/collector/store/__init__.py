# SPDX-License-Identifier: Apache-2.0
"""The store: rows in, by InfluxDB or by the embedded files."""

from typing import TYPE_CHECKING, Any

from rackwatt.collector.store.base import (
    Row,
    Store,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WriteResult,
)
from rackwatt.collector.store.embedded import EmbeddedStore
from rackwatt.collector.store.open import (
    TOKEN_VARIABLE,
    EmbeddedSpec,
    InfluxSpec,
    TokenError,
    open_store,
    read_token,
)
from rackwatt.collector.store.read import StoredRow, measurements, read
from rackwatt.collector.store.rows import rows_of

if TYPE_CHECKING:
    from rackwatt.collector.store.influx import InfluxStore

__all__ = [
    "TOKEN_VARIABLE",
    "EmbeddedSpec",
    "EmbeddedStore",
    "InfluxSpec",
    "InfluxStore",
    "Row",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "StoredRow",
    "TokenError",
    "WriteResult",
    "measurements",
    "open_store",
    "read",
    "read_token",
    "rows_of",
]


def __getattr__(name: str) -> Any:
    """`InfluxStore` when it is asked for: its client takes a third of a second to import."""
    if name == "InfluxStore":
        from rackwatt.collector.store.influx import InfluxStore

        return InfluxStore
    raise AttributeError(name)
