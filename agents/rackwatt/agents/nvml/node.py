# SPDX-License-Identifier: Apache-2.0
"""The GPUs of one node, read by blocking calls: everything here runs in one worker thread."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from rackwatt.agents.nvml.binding import (
    DRIVER_GONE,
    GPU_GONE,
    GPU_IS_LOST,
    GPU_NOT_FOUND,
    NO_PERMISSION,
    STALE_HANDLE,
    Binding,
    Handle,
    code_of,
    quality_of,
)
from rackwatt.agents.nvml.calls import FAST, MISSING, SLOW, Call, Failure, Raw
from rackwatt.agents.nvml.gpu import (
    FAST_FIELDS,
    SPECS,
    DriverDownError,
    Gpu,
    blank,
    explain,
    item_of,
    own_device,
    value_of,
)
from rackwatt.agents.nvml.settings import Settings
from rackwatt.agents.nvml.xid import XidWatch
from rackwatt.agents.source import ProbeRow
from rackwatt.wire.backoff import Backoff
from rackwatt.wire.clock import Clock
from rackwatt.wire.inventory import InventoryItem
from rackwatt.wire.readings import Quality
from rackwatt.wire.sample import Event, Sample

_LOG: Final = logging.getLogger(__name__)


class Node:
    """Opens the driver, reads its GPUs, and finds both again when they went away.

    Args:
        nvml: the binding.
        name: the node, first part of every device name.
        settings: of the driver.
        clock: for cadences and back-off.
        report: takes a device name and its event; must be safe to call from any thread.
    """

    def __init__(
        self,
        nvml: Binding,
        name: str,
        settings: Settings,
        clock: Clock,
        report: Callable[[str, Event], None],
    ) -> None:
        self._nvml = nvml
        self._errors: tuple[type[Exception], ...] = (nvml.NVMLError, AttributeError)
        self._text_errors: tuple[type[Exception], ...] = (*self._errors, UnicodeDecodeError)
        self._name = name
        self._own = own_device(name)
        self._settings = settings
        self._clock = clock
        self._report = report
        self._backoff = self._new_backoff()
        self._gpus: dict[str, Gpu] = {}
        self._initialised = False
        self._open = False
        self._driver_lost = False
        self._retry_at = 0.0
        self._unread: set[int] = set()
        self._enumerate_at = 0.0
        self._enumerate_backoff = self._new_backoff()
        self._next_slow = 0.0
        self._chosen: dict[str, Call] = {}
        self._watch: XidWatch | None = None
        self._watch_stale = False
        # Replaced as a whole, so that the event loop can read them while a round runs.
        self.inventory: tuple[InventoryItem, ...] = ()
        self.devices: tuple[str, ...] = ()

    def open(self) -> int:
        """Open the driver and find its GPUs.

        Returns:
            How many GPUs can be read.

        Raises:
            DriverDownError: the library or the driver cannot be used.
        """
        try:
            if not self._initialised:
                self._nvml.nvmlInit()
                self._initialised = True
            self._chosen.clear()
            self._enumerate()
        except DriverDownError:
            self._shutdown()
            raise
        except self._errors as error:
            self._shutdown()
            raise DriverDownError(code_of(error)) from error
        found = [gpu for gpu in self._gpus.values() if gpu.handle is not None]
        if not found and not self._unread:
            self._shutdown()  # GPUs are looked for by nvmlInit only: start over at the next try
            return 0
        self._open = True
        self._next_slow = self._clock.monotonic()
        self._watch_stale = True
        return len(found)

    @property
    def opened(self) -> bool:
        """The driver is open and has GPUs, be they readable or not."""
        return self._open

    def close(self) -> None:
        """Stop listening and let go of the driver."""
        self._open = False
        self._shutdown()

    def read(self, out: list[Sample]) -> None:
        """One round over all GPUs, each appended to `out` as soon as it has been read.

        Never raises for a GPU or the driver: what could not be read is null.
        """
        if not self._open and not self._reopen():
            out.extend(blank(gpu.device, Quality.EXCEPTION) for gpu in self._gpus.values())
            return
        now = self._clock.monotonic()
        slow = now >= self._next_slow
        if slow:
            # From now, not from the due time: after a pause one slow round is enough.
            self._next_slow = now + self._settings.slow_every
        gpus = list(self._gpus.values())
        try:
            if self._unread and now >= self._enumerate_at:
                self._enumerate()
                gpus = list(self._gpus.values())
            for gpu in gpus:
                out.append(self._read_gpu(gpu, slow))  # noqa: PERF401 - seen while others hang
        except DriverDownError as error:
            self._driver_down(error.code)
        except self._errors as error:  # only the search for GPUs lets them through
            self._driver_down(code_of(error))
        out.extend(blank(gpu.device, Quality.EXCEPTION) for gpu in gpus[len(out) :])
        if self._open and self._watch_stale:
            self._rewatch()

    def probe(self) -> list[ProbeRow]:
        """Read every GPU once, the driver's raw numbers beside ours."""
        rows: list[ProbeRow] = []
        for gpu in self._gpus.values():
            for call in (*FAST, *SLOW):
                if gpu.handle is None:
                    raws: Sequence[Raw] = [Failure(GPU_IS_LOST)] * len(call.outputs)
                else:
                    raws = self._raws(call, gpu.handle)
                where = self._chosen.get(call.where, call).where
                for output, raw in zip(call.outputs, raws, strict=True):
                    value, quality = value_of(output.field, output.convert, raw)
                    shown = (
                        f"NVML code {raw.code}"
                        if isinstance(raw, Failure)
                        else f"{raw:.15g} {output.unit}".rstrip()
                    )
                    unit = SPECS[output.field].unit
                    rows.append(
                        ProbeRow(gpu.device, output.field, where, shown, value, unit, quality)
                    )
        return rows

    # finding GPUs

    def _new_backoff(self) -> Backoff:
        first = self._settings.init_retry
        return Backoff(first=first, cap=max(first, self._settings.init_retry_cap))

    def _enumerate(self) -> None:
        """Find the GPUs by index; one that refuses is looked for again, the others go on."""
        nvml = self._nvml
        driver = self._text(lambda: nvml.nvmlSystemGetDriverVersion())  # noqa: PLW0108 - may lack it
        seen: set[str] = set()
        unread: set[int] = set()
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = self._nvml.nvmlDeviceGetUUID(handle)
            except self._errors as error:
                self._skip(index, code_of(error), unread)
                continue
            seen.add(uuid)
            gpu = self._gpus.get(uuid)
            if gpu is None:
                gpu = Gpu(f"{self._name}/{uuid}", uuid, self._new_backoff())
                self._gpus[uuid] = gpu
            if gpu.handle is None and not gpu.lost:
                self._identify(gpu, handle)
            gpu.handle = handle
        for uuid, gpu in self._gpus.items():
            if uuid not in seen and not gpu.lost:
                self._lose(gpu, GPU_NOT_FOUND)
        self._unread = unread
        if unread:
            self._enumerate_at = self._clock.monotonic() + self._enumerate_backoff.next()
        else:
            self._enumerate_backoff.reset()
        self.devices = tuple(gpu.device for gpu in self._gpus.values())
        self.inventory = tuple(item_of(gpu, driver) for gpu in self._gpus.values())

    def _skip(self, index: int, code: int, unread: set[int]) -> None:
        """Note a GPU whose name is not even known."""
        if code in DRIVER_GONE:
            raise DriverDownError(code)
        if code == NO_PERMISSION:  # in a container: someone else's GPU, and it stays so
            _LOG.info("GPU %d belongs to someone else: no permission", index)
            return
        unread.add(index)
        if index not in self._unread:
            _LOG.warning("GPU %d cannot be read: %s", index, explain(code))
            text = f"GPU {index} of {self._name} cannot be read: {explain(code)}"
            self._report(self._own, Event("gpu_lost", "critical", text))

    def _identify(self, gpu: Gpu, handle: Handle) -> None:
        gpu.name = self._text(lambda: self._nvml.nvmlDeviceGetName(handle))
        gpu.serial = self._text(lambda: self._nvml.nvmlDeviceGetSerial(handle))

    def _text(self, call: Callable[[], str]) -> str:
        """What `call` says, or "" where the driver or the binding does not say."""
        try:
            return call()
        except self._text_errors as error:
            code = code_of(error)
            if code in DRIVER_GONE:
                raise DriverDownError(code) from error
            return ""

    # reading

    def _read_gpu(self, gpu: Gpu, slow: bool) -> Sample:
        if gpu.handle is None and not self._find(gpu):
            return blank(gpu.device, Quality.EXCEPTION)
        if slow:
            gpu.unsupported.clear()
        values: dict[str, float | None] = {}
        quality: dict[str, Quality] = {}
        codes: set[int] = set()
        for call in (*FAST, *SLOW) if slow else FAST:
            raws = self._raws_unless_unsupported(call, gpu)
            for output, raw in zip(call.outputs, raws, strict=True):
                if isinstance(raw, Failure):
                    codes.add(raw.code)
                value, reason = value_of(output.field, output.convert, raw)
                values[output.field] = value
                if reason is not None:
                    quality[output.field] = reason
            if codes & DRIVER_GONE:
                raise DriverDownError(min(codes & DRIVER_GONE))
            if codes & GPU_GONE:  # each further call may take the driver long: ask no more
                break
        # What the GPU does not support says nothing about its handle.
        hard = {code for code in codes if quality_of(code) is not Quality.NOT_SUPPORTED}
        answered = any(value is not None for value in values.values())
        if codes & GPU_GONE:
            self._lose(gpu, min(codes & GPU_GONE))
            rest = [name for name in FAST_FIELDS if name not in values]
            values.update(dict.fromkeys(rest))
            quality.update(dict.fromkeys(rest, Quality.EXCEPTION))
        elif hard and hard <= STALE_HANDLE and not answered:
            self._lose(gpu, min(hard))
        elif gpu.lost and answered:
            self._regain(gpu)
        return Sample(kind="gpu", device=gpu.device, values=values, quality=quality)

    def _raws_unless_unsupported(self, call: Call, gpu: Gpu) -> Sequence[Raw]:
        """What `call` yields; one that the GPU does not support is not asked every second."""
        code = gpu.unsupported.get(call.where)
        if code is not None:
            return [Failure(code)] * len(call.outputs)
        raws = self._raws(call, gpu.handle)
        codes = [
            raw.code
            for raw in raws
            if isinstance(raw, Failure) and quality_of(raw.code) is Quality.NOT_SUPPORTED
        ]
        if len(codes) == len(call.outputs):
            gpu.unsupported[call.where] = codes[0]
        return raws

    def _raws(self, call: Call, handle: Handle) -> Sequence[Raw]:
        chosen = self._chosen.get(call.where, call)
        try:
            return chosen.read(self._nvml, handle)
        except self._errors as error:
            code = code_of(error)
        if code in MISSING and chosen.fallback is not None:
            self._chosen[call.where] = chosen.fallback
            return self._raws(call, handle)
        return [Failure(code)] * len(call.outputs)

    # losing and finding again

    def _find(self, gpu: Gpu) -> bool:
        now = self._clock.monotonic()
        if now < gpu.retry_at:
            return False
        try:
            gpu.handle = self._nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        except self._errors as error:
            code = code_of(error)
            if code in DRIVER_GONE:
                raise DriverDownError(code) from error
            gpu.retry_at = now + gpu.backoff.next()
            return False
        return True

    def _lose(self, gpu: Gpu, code: int) -> None:
        gpu.handle = None
        gpu.retry_at = self._clock.monotonic() + gpu.backoff.next()
        if gpu.lost:
            return
        gpu.lost = True
        _LOG.warning("%s: %s", gpu.device, explain(code))
        self._report(gpu.device, Event("gpu_lost", "critical", explain(code)))

    def _regain(self, gpu: Gpu) -> None:
        gpu.lost = False
        gpu.backoff.reset()
        self._watch_stale = True
        _LOG.info("%s can be read again", gpu.device)
        self._report(gpu.device, Event("gpu_back", "info", "the GPU can be read again"))

    def _driver_down(self, code: int) -> None:
        self._open = False
        self._shutdown()
        self._retry_at = self._clock.monotonic() + self._backoff.next()
        if not self._driver_lost:
            self._driver_lost = True
            _LOG.warning("%s: %s", self._name, explain(code))
            self._report(self._own, Event("driver_lost", "critical", explain(code)))

    def retry_later(self) -> None:
        """Look for the driver again after the back-off."""
        self._retry_at = self._clock.monotonic() + self._backoff.next()

    def _reopen(self) -> bool:
        if self._clock.monotonic() < self._retry_at:
            return False
        try:
            found = self.open()
        except DriverDownError as error:
            _LOG.debug("%s: still down: %s", self._name, error)
            found = 0
        if not self._open:
            self.retry_later()
            return False
        self._backoff.reset()
        if self._driver_lost:
            self._driver_lost = False
            text = f"the NVIDIA driver answers again, with {found} GPUs"
            self._report(self._own, Event("driver_back", "info", text))
        return True

    def _shutdown(self) -> None:
        """Stop the event thread, then release NVML; a stuck thread keeps NVML open."""
        if self._watch is not None:
            if not self._watch.stop():
                _LOG.warning("%s: the driver does not let go of the event wait", self._name)
                return
            self._watch = None
        for gpu in self._gpus.values():
            gpu.handle = None
            gpu.unsupported.clear()
        if self._initialised:
            self._initialised = False
            try:
                self._nvml.nvmlShutdown()
            except self._errors as error:
                _LOG.debug("%s: shutdown: NVML code %d", self._name, code_of(error))

    def _rewatch(self) -> None:
        """Listen to the GPUs that can be read now; a handle found again needs a new event set."""
        self._watch_stale = False
        if not self._settings.events:
            return
        if self._watch is not None and not self._watch.stop():
            return
        watch = XidWatch(self._nvml, self._errors, self._event)
        gpus = [(g.device, g.handle) for g in self._gpus.values() if g.handle is not None]
        self._watch = watch if watch.start(gpus) else None

    def _event(self, device: str, event: Event) -> None:
        self._report(device or self._own, event)
