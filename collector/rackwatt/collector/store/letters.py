# SPDX-License-Identifier: Apache-2.0
"""A row that a store refused, as the payload of a dead letter, and back."""

import json

from rackwatt.collector.store.base import Row


def to_payload(row: Row) -> bytes:
    """A row as JSON."""
    return json.dumps(
        {
            "measurement": row.measurement,
            "tags": dict(row.tags),
            "fields": dict(row.fields),
            "time": row.time_ms,
        }
    ).encode()


def from_payload(payload: bytes) -> Row:
    """The row again.

    Raises:
        ValueError: it is none, or was written by a version that could not read it back.
    """
    try:
        data = json.loads(payload)
        return Row(
            str(data["measurement"]),
            tuple((str(name), str(value)) for name, value in data["tags"].items()),
            {
                str(name): value if isinstance(value, str) else float(value)
                for name, value in data["fields"].items()
            },
            int(data["time"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("the letter holds no row that can be read") from error
