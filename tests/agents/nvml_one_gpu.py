# SPDX-License-Identifier: Apache-2.0
"""A binding of a few lines of Python, with one GPU."""

# ruff: noqa: N802 - the names are NVIDIA's


class RefusalError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class OneGpu:
    """A binding of one GPU that knows power only; everything else is missing."""

    NVMLError = RefusalError

    def __init__(self, argument: str | None = None) -> None:
        self.argument = argument
        self.milliwatts = 300_000

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{self.argument or 'x'}"

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self.milliwatts
