# SPDX-License-Identifier: Apache-2.0
"""The store: rows in, by InfluxDB or by the embedded files."""

from rackwatt.collector.store.base import (
    Row,
    Store,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WriteResult,
)
from rackwatt.collector.store.embedded import EmbeddedStore
from rackwatt.collector.store.influx import InfluxStore
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
