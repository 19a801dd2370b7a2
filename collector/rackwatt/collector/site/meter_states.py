# SPDX-License-Identifier: Apache-2.0
"""Where a meter stands between plan and service: its states over time, as the site file says."""

from dataclasses import replace
from typing import Final

from rackwatt.collector.site.fields import milliseconds
from rackwatt.collector.site.meters import Validity
from rackwatt.collector.site.models import MeterModel, MeterState
from rackwatt.collector.site.problems import Problems
from rackwatt.wire.config import Key

BEFORE: Final[dict[MeterState, MeterState]] = {"in_service": "installed", "out": "in_service"}
"""What a meter was before the time since which it has a state."""


def states_of(
    problems: Problems, model: MeterModel, key: Key, validity: Validity
) -> list[tuple[Validity, MeterState]]:
    """The states of a meter, each with its span; one of them without `state_since`."""
    if model.sum or model.minus:
        for name in ("state", "state_since", "calibrated", "calibration_due"):
            if getattr(model, name) is not None:
                problems.add((*key, name), "a virtual meter has its members' states, not its own")
        return [(validity, "in_service")]
    state = model.state or "in_service"
    done, due = model.calibrated, model.calibration_due
    if done is not None and due is not None and due <= done:
        problems.add((*key, "calibration_due"), "must be later than calibrated")
    if model.state_since is None:
        return [(validity, state)]
    since = milliseconds(model.state_since, validity.start_ms)
    if model.state is None or state not in BEFORE:
        problems.add(
            (*key, "state_since"),
            f"belongs to a state of {' or '.join(BEFORE)}: write that state beside it, "
            "or leave state_since out",
        )
        return [(validity, state)]
    if not validity.start_ms < since < validity.end_ms:
        problems.add((*key, "state_since"), "must lie between valid_from and valid_to")
        return [(validity, state)]
    return [
        (replace(validity, end_ms=since), BEFORE[state]),
        (replace(validity, start_ms=since), state),
    ]
