# SPDX-License-Identifier: Apache-2.0
"""What agents and collectors say of themselves: status, replay requests, inventory."""

import pytest
from pydantic import ValidationError

from rackwatt.wire.clock import SYSTEM_CLOCK, ManualClock
from rackwatt.wire.inventory import Inventory, InventoryItem, Register
from rackwatt.wire.replay import ReplayRequest
from rackwatt.wire.status import EpochState, Status


def test_a_status_survives_the_wire_and_forgives_what_a_newer_agent_adds() -> None:
    state = EpochState(epoch=7, oldest=1, last=5, sent_through=4)
    status = Status(state="online", session=1, time=2, epochs=(state,))
    text = status.model_dump_json()
    assert Status.model_validate_json(text) == status
    newer = text.replace('"state":', '"mood": "fine", "state":')
    assert Status.model_validate_json(newer) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"state": "dead", "session": 1, "time": 1}',
        '{"state": "online", "session": -1, "time": 1}',
        '{"state": "online", "session": 1, "time": 9007199254740992}',
        '{"state": "online", "session": 1, "time": 1, "epochs": [{"epoch": 1}]}',
        (
            '{"state": "online", "session": 1, "time": 1, "epochs": ['
            '{"epoch": 1, "oldest": 1, "last": 1, "sent_through": 1},'
            '{"epoch": 1, "oldest": 1, "last": 1, "sent_through": 1}]}'
        ),
    ],
)
def test_a_status_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Status.model_validate_json(text)


@pytest.mark.parametrize("ranges", ["[]", "[[0, 1]]", "[[1]]", '"all"', "[[1, 9007199254740992]]"])
def test_a_request_that_makes_no_sense_is_refused(ranges: str) -> None:
    with pytest.raises(ValidationError):
        ReplayRequest.model_validate_json(f'{{"request": 1, "epoch": 1, "ranges": {ranges}}}')


def test_the_version_of_an_inventory_depends_on_its_content_alone() -> None:
    one = InventoryItem(device="a", model="x")
    two = InventoryItem(device="b", registers={"e": Register(modulus_watt_hours=1e6)})
    version = Inventory.of([one, two], 1).version
    assert Inventory.of([two, one], 2).version == version
    assert Inventory.of([one], 1).version != version


def test_clocks() -> None:
    clock = ManualClock(1_000, 5.0)
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (2_500, 6.5)
    assert SYSTEM_CLOCK.now_ms() > 1_700_000_000_000
    assert SYSTEM_CLOCK.monotonic() <= SYSTEM_CLOCK.monotonic()
