# SPDX-License-Identifier: Apache-2.0
"""Python's garbage collector, for a process that makes and drops objects by the million.

What messages are decoded to has no cycles: counting references frees it. With the usual thresholds
the collector walked it all the same, a quarter of ingest's time (`docs/performance.md`).
"""

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""New objects before the youngest are looked at; how often before the older, and the oldest, are.
Usual: 700, 10, 10. Cycles are rare here, and wait some seconds longer."""


def settle() -> None:
    """What is there now stays; look for cycles more rarely. Call it once a process has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
