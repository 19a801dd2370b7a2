# SPDX-License-Identifier: Apache-2.0
"""The same rounds against a real NVIDIA driver.

Skipped where no GPU can be reached; hardware cannot be there in CI, so a skip is no failure.
"""

import asyncio
import contextlib
from collections.abc import Iterator

import pynvml
import pytest

from rackwatt.agents.nvml import Settings, create
from rackwatt.agents.nvml.calls import FAST, SLOW, fields_of
from rackwatt.agents.source import Context
from rackwatt.wire.codec import reading_of

_ROUNDS = 4


@pytest.fixture(autouse=True)
def gpus() -> Iterator[int]:
    """How many GPUs the driver has; NVML stays open, so that the test can ask it too."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        pytest.skip(f"NO GPU: the real NVIDIA driver was not tested on this machine ({error})")
    try:
        count = pynvml.nvmlDeviceGetCount()
        if count == 0:
            pytest.skip("NO GPU: the NVIDIA driver is there, but no GPU")
        yield count
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


async def test_rounds_on_the_real_driver(gpus: int) -> None:
    """Every value within the contract; the counter rises; power agrees with the driver's own."""
    source = create(Settings(slow_every=1e6), Context(node="here"))
    await source.start()
    try:
        rounds = []
        for _ in range(_ROUNDS):
            rounds.append([s for s in await source.sample() if s.event is None])
            await asyncio.sleep(1.0)  # the driver's own averaging window
    finally:
        await source.aclose()
    assert [len(samples) for samples in rounds] == [gpus] * _ROUNDS
    for samples in rounds:
        for sample in samples:
            reading_of(sample, 1)
            assert sample.values["power_watts"] is not None
            for name, value in sample.values.items():
                assert (value is None) == (name in sample.quality), name
    assert set(rounds[0][0].values) == set(fields_of((*FAST, *SLOW)))
    for first, last in zip(rounds[0], rounds[-1], strict=True):
        before = first.values["energy_import_watt_hours"]
        after = last.values["energy_import_watt_hours"]
        if before is not None and after is not None:
            assert after > before


async def test_names_and_probe_on_the_real_driver(gpus: int) -> None:
    source = create(Settings(), Context(node="here"))
    await source.start()
    try:
        inventory = source.inventory()
        rows = await source.probe()
    finally:
        await source.aclose()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(gpus)]
    assert [item.uuid for item in inventory] == [pynvml.nvmlDeviceGetUUID(h) for h in handles]
    assert [item.model for item in inventory] == [pynvml.nvmlDeviceGetName(h) for h in handles]
    assert len(rows) == gpus * len(fields_of((*FAST, *SLOW)))
    for handle, item in zip(handles, inventory, strict=True):
        powers = [r.value for r in rows if r.device == item.device and r.field == "power_watts"]
        own = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
        assert powers == [pytest.approx(own, rel=0.3, abs=30.0)]
