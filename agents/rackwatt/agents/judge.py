# SPDX-License-Identifier: Apache-2.0
"""Numbers of devices judged by the bounds of their fields, before they go on the wire."""

import math
from collections.abc import Sequence

from rackwatt.wire.readings import FieldSpec, Quality


def judge(spec: FieldSpec, value: float) -> float | Quality:
    """The value as it goes on the wire, or why it must not.

    Decimal scales leave noise in the last digits of a float (233 * 0.1), which is cut at 15
    significant digits; a bound that is missed only by such noise is met.
    """
    if not math.isfinite(value):
        return Quality.OUT_OF_RANGE
    clean = value if value.is_integer() else float(f"{value:.15g}")
    slack = 1e-12 * max(1.0, abs(spec.low), abs(spec.high))
    if not spec.low - slack <= clean <= spec.high + slack:
        return Quality.OUT_OF_RANGE
    return min(max(clean, spec.low), spec.high)


def put(
    fields: Sequence[FieldSpec],
    got: float | Quality,
    values: dict[str, float | None],
    quality: dict[str, Quality],
) -> None:
    """Judge a number and put it into its field, or into two by its sign.

    A number that is refused leaves both fields empty: the reverse direction of nonsense is not 0.
    """
    verdict = got
    parts: list[float] = []
    if not isinstance(got, Quality):
        shares = (got,) if len(fields) == 1 else (max(0.0, got), max(0.0, -got))
        for spec, share in zip(fields, shares, strict=True):
            judged = judge(spec, share) if math.isfinite(got) else Quality.OUT_OF_RANGE
            if isinstance(judged, Quality):
                verdict = judged
            else:
                parts.append(judged)
    for i, spec in enumerate(fields):
        if isinstance(verdict, Quality):
            values[spec.name] = None
            quality[spec.name] = verdict
        else:
            values[spec.name] = parts[i]
