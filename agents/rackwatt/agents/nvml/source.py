# SPDX-License-Identifier: Apache-2.0
"""NVML as a source of the shared loop: rounds in a worker thread, each with a time-out."""

import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from rackwatt.agents.nvml.binding import load_binding
from rackwatt.agents.nvml.gpu import FAST_FIELDS, DriverDownError, blank, own_device
from rackwatt.agents.nvml.node import Node
from rackwatt.agents.nvml.settings import Settings
from rackwatt.agents.source import Context, ProbeRow, StartError
from rackwatt.agents.worker import Worker
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event, Sample

_LOG: Final = logging.getLogger(__name__)
_START_TIMEOUT: Final = 30.0
"""Seconds; without persistence mode nvmlInit may have to start up every GPU."""
_CLOSE_TIMEOUT: Final = 3.0
_MAX_EVENTS: Final = 1000
_ERRORS: Final = frozenset({Quality.TIMEOUT, Quality.EXCEPTION, Quality.OUT_OF_RANGE})
"""What counts as a read error; `not_supported` is a property of the device."""


class NvmlSource:
    """Reads the GPUs of this node.

    A round that does not end in time yields null with quality `timeout` for the GPUs not yet
    read; while it still hangs no further call is made. Events wait in a bounded queue for the
    next round.

    Args:
        settings: the `nvml:` section.
        context: of the agent.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._name = settings.node or context.node
        self._worker: Worker | None = None
        self._node: Node | None = None
        self._events: deque[Sample] = deque()
        self._dropped_events = 0
        self._explanation = ""

    def inventory(self) -> Sequence[InventoryItem]:
        """The GPUs found so far; they stay when they are lost."""
        return self._node.inventory if self._node is not None else ()

    async def start(self) -> None:
        """Open the driver.

        Raises:
            StartError: fatal without binding, and, if `required`, without library, driver or
                GPU; to be retried when the driver does not answer at all.
        """
        await self.aclose()
        self._worker = Worker(f"nvml-{self._name}")
        try:
            opened = await self._worker.call(self._open, _START_TIMEOUT)
        except TimeoutError as error:
            await self.aclose()
            raise StartError("retry", f"the NVIDIA driver gives {error}") from error
        self._node, self._explanation = opened
        if not self._explanation:
            return
        if self._settings.required:
            explanation = self._explanation
            await self.aclose()
            raise StartError("fatal", explanation)
        _LOG.warning("%s: %s; looking again later", self._name, self._explanation)

    async def sample(self) -> Sequence[Sample]:
        """One round over all GPUs, and the events since the last one."""
        if self._worker is None or self._node is None:
            return []
        out: list[Sample] = []
        node = self._node
        with contextlib.suppress(TimeoutError):  # what is missing in `out` becomes `timeout`
            await self._worker.call(lambda: node.read(out), self._settings.round_timeout)
        return self._finish(out[:])

    async def probe(self) -> Sequence[ProbeRow]:
        """Every call once, the driver's raw numbers beside ours."""
        if self._worker is None or self._node is None:
            return [self._nothing("not started")]
        try:
            rows = await self._worker.call(self._node.probe, _START_TIMEOUT)
        except TimeoutError as error:
            return [self._nothing(str(error), Quality.TIMEOUT)]
        return rows or [self._nothing(self._explanation or "no GPU")]

    async def aclose(self) -> None:
        """Stop the threads; one that is stuck in the driver is left behind as a daemon."""
        worker, self._worker = self._worker, None
        node, self._node = self._node, None
        if worker is None:
            return
        try:
            if node is not None:
                await worker.call(node.close, _CLOSE_TIMEOUT)
        except TimeoutError:
            _LOG.warning("%s: the NVIDIA driver hangs; its thread is left behind", self._name)
        finally:
            worker.stop()

    def _open(self) -> tuple[Node, str]:
        nvml = load_binding(self._settings.binding, self._settings.binding_argument)
        node = Node(nvml, self._name, self._settings, self._context.clock, self._report)
        try:
            found = node.open()
        except DriverDownError as error:
            node.retry_later()
            return node, str(error)
        if not found and not node.opened:
            node.retry_later()
            return node, "the NVIDIA driver answers, but there is no GPU"
        return node, ""

    def _report(self, device: str, event: Event) -> None:
        """Queue an event; called from the worker and from the event thread."""
        if len(self._events) >= _MAX_EVENTS:
            self._dropped_events += 1
            return
        now = self._context.clock.now_ms()
        self._events.append(Sample(kind="event", device=device, event=event, time_ms=now))

    def _finish(self, samples: list[Sample]) -> list[Sample]:
        """Fill in the GPUs that were not read in time, count what failed, add the events."""
        if self._node is not None:
            read = {sample.device for sample in samples}
            samples += [
                blank(device, Quality.TIMEOUT)
                for device in self._node.devices
                if device not in read
            ]
        for sample in samples:
            for reason in sample.quality.values():
                if reason in _ERRORS:
                    self._context.errors.count(sample.device, reason)
        while self._events:
            samples.append(self._events.popleft())
        if self._dropped_events:
            dropped, self._dropped_events = self._dropped_events, 0
            text = f"{dropped} events of this node came faster than they could be passed on"
            event = Event("events_dropped", "warning", text)
            samples.append(Sample(kind="event", device=own_device(self._name), event=event))
        return samples

    def _nothing(self, text: str, quality: Quality = Quality.EXCEPTION) -> ProbeRow:
        return ProbeRow(self._name, FAST_FIELDS[0], "nvmlInit", text, None, "W", quality)
