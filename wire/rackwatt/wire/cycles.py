# SPDX-License-Identifier: Apache-2.0
"""Python's search for cyclic garbage, spared where there is none."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_search() -> Iterator[None]:
    """Build something large that stays: the search would walk all of it, again and again.

    For the whole process, all threads; what is no cycle is freed as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
