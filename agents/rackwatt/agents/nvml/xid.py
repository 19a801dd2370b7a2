# SPDX-License-Identifier: Apache-2.0
"""XID errors: what they mean, and the thread that waits for them.

Meanings: NVIDIA, "XID Errors", catalog for Ampere and newer (docs.nvidia.com/deploy/xid-errors).
"""

import ctypes
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rackwatt.agents.nvml.binding import (
    DRIVER_GONE,
    TIMEOUT,
    Binding,
    EventData,
    Handle,
    code_of,
)
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.sample import Event, Severity

_LOG: Final = logging.getLogger(__name__)
_EVENT_TYPE_XID: Final = 0x8
_WAIT_MILLISECONDS: Final = 250
"""Short, so that a stop takes effect soon: a wait cannot be interrupted from outside."""

KNOWN: Final[Mapping[int, tuple[Severity, str]]] = MappingProxyType(
    {
        13: ("warning", "graphics engine exception, most often a fault of the application"),
        31: ("warning", "memory page fault, most often a fault of the application"),
        43: ("warning", "the application stopped at a fault of its own, the GPU is healthy"),
        45: ("warning", "channel cleaned up after an earlier error or a killed application"),
        48: ("critical", "double-bit ECC error"),
        61: ("critical", "internal micro-controller breakpoint"),
        62: ("critical", "internal micro-controller halt"),
        63: ("warning", "memory row remapping recorded, takes effect at the next reset"),
        64: ("critical", "memory row remapping failed"),
        68: ("warning", "video decoder exception"),
        74: ("critical", "NVLink error"),
        79: ("critical", "the GPU has fallen off the bus"),
        92: ("warning", "high rate of single-bit ECC errors"),
        94: ("warning", "contained memory error: one application ended, the others go on"),
        95: ("critical", "uncontained memory error: the GPU needs a reset"),
        109: ("warning", "context switch time-out"),
        119: ("critical", "the GPU's system processor does not answer"),
        120: ("critical", "error of the GPU's system processor"),
        140: ("critical", "unrecovered ECC error"),
        154: ("warning", "the recovery action that the GPU asks for has changed"),
    }
)


def event_of(number: int) -> Event:
    """The event of an XID; one we do not know is critical until someone has looked."""
    severity, text = KNOWN.get(number, ("critical", "see NVIDIA's XID catalog"))
    return Event(code=f"xid_{number}", severity=severity, text=f"XID {number}: {text}")


def handle_key(handle: Handle) -> object:
    """What two handles of one GPU have in common: ctypes pointers compare by identity only."""
    contents = getattr(handle, "contents", None)
    return handle if contents is None else ctypes.addressof(contents)


class XidWatch:
    """Waits for XID errors in a daemon thread of its own.

    Args:
        nvml: an initialised binding.
        errors: the exceptions by which calls of the binding fail.
        report: called from the thread with a device name ("" if unknown) and its event.
    """

    def __init__(
        self,
        nvml: Binding,
        errors: tuple[type[Exception], ...],
        report: Callable[[str, Event], None],
    ) -> None:
        self._nvml = nvml
        self._errors = errors
        self._report = report
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._set: object = None
        self._devices: dict[object, str] = {}

    def start(self, gpus: Sequence[tuple[str, Handle]]) -> bool:
        """Listen to `gpus` (device name, handle); False if none of them can report XIDs."""
        try:
            self._set = self._nvml.nvmlEventSetCreate()
        except self._errors as error:
            _LOG.info("no XID events on this node: NVML code %d", code_of(error))
            return False
        for device, handle in gpus:
            try:
                self._nvml.nvmlDeviceRegisterEvents(handle, _EVENT_TYPE_XID, self._set)
            except self._errors as error:
                _LOG.info("%s reports no XID events: NVML code %d", device, code_of(error))
            else:
                self._devices[handle_key(handle)] = device
        if not self._devices:
            self._free()
            return False
        self._thread = threading.Thread(target=self._run, name="nvml-xid", daemon=True)
        self._thread.start()
        return True

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread; False if it is stuck in the driver for more than `timeout` seconds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
            self._thread = None
            self._free()
        return True

    def _free(self) -> None:
        try:
            self._nvml.nvmlEventSetFree(self._set)
        except self._errors as error:
            _LOG.debug("event set not freed: NVML code %d", code_of(error))

    def _run(self) -> None:
        backoff = Backoff(first=0.25, cap=5.0)
        while not self._stop.is_set():
            try:
                data = self._nvml.nvmlEventSetWait_v2(self._set, _WAIT_MILLISECONDS)
            except self._errors as error:
                code = code_of(error)
                if code == TIMEOUT:
                    backoff.reset()
                    continue
                if code in DRIVER_GONE:  # the round notices it too, and opens the driver again
                    return
                # A lost GPU can make every wait fail at once: never spin on it.
                self._stop.wait(backoff.next())
                continue
            backoff.reset()
            if data.eventType & _EVENT_TYPE_XID:
                self._report(self._device(data), event_of(data.eventData))

    def _device(self, data: EventData) -> str:
        return self._devices.get(handle_key(data.device), "")
