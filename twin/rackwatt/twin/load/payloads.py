# SPDX-License-Identifier: Apache-2.0
"""Each message from its agent and its number alone: nothing is kept, all can be made again.

Powers swing slowly around their means, registers are their integrals, and the grid gives what
sun and wind do not: the books of the campus close. GPU readings differ by GPU, message and field.
"""

from functools import cache
from math import cos, pi, sin
from typing import Final

from rackwatt.twin.load.campus import (
    GPUS,
    METERS,
    PARTS,
    RACK_WATTS,
    ROWS,
    Player,
    Role,
    meters_of,
    racks_of,
    sensors_of,
)
from rackwatt.wire.inventory import Inventory, InventoryItem, Register

VARIANTS: Final = 61
"""Readings of a GPU; which one a message has changes with agent, GPU and number."""
_SWING: Final = 0.08
_PERIOD: Final = 600.0
"""Seconds of a swing."""
_REGISTER: Final = 1e9
"""Wh on a register when the load begins."""


class Payloads:
    """Makes messages.

    Args:
        start_ms: when the load begins, ms since 1970 UTC.
        epoch: the epoch of all agents.
    """

    def __init__(self, start_ms: int, epoch: int) -> None:
        self._start_ms = start_ms
        self._epoch = epoch
        self._heads: dict[str, tuple[str, ...]] = {}

    def time_ms(self, player: Player, seq: int) -> int:
        """When an agent sends its message of this number, counted from 1."""
        return self._start_ms + player.phase_ms + (seq - 1) * player.period_ms

    def message(self, player: Player, seq: int) -> bytes:
        """A message."""
        time_ms = self.time_ms(player, seq)
        seconds = (time_ms - self._start_ms) / 1000
        heads = self._heads.get(player.name)
        if heads is None:
            heads = self._heads[player.name] = _heads_of(player)
        if player.kind == "gpu":
            body = _tray(player, heads, seq, seconds)
        elif player.kind == "climate":
            body = _rack(player, heads, seq)
        else:
            body = _meter(player, seconds)
        head = f'{{"epoch":{self._epoch},"seq":{seq},"time":{time_ms},"readings":['
        return f"{head}{body}]}}".encode()

    def status(self, last: int, sent_through: int, now_ms: int, state: str = "online") -> bytes:
        """What an agent says of itself."""
        epochs = (
            f'[{{"epoch":{self._epoch},"oldest":1,"last":{last},"sent_through":{sent_through}}}]'
        )
        return (
            f'{{"state":"{state}","session":{self._epoch},"time":{now_ms},"epochs":{epochs}}}'
        ).encode()


def inventory(player: Player, time_ms: int) -> bytes:
    """What a meter's agent knows of its registers."""
    register = Register(modulus_watt_hours=1e15, resolution_watt_hours=1.0)
    registers = {"energy_import_watt_hours": register}
    item = InventoryItem(device=device_of(player), model="load", registers=registers)
    return Inventory.of([item], time_ms).model_dump_json().encode()


def device_of(player: Player) -> str:
    """The meter of a meter's agent."""
    return meters_of(player.hall)[player.number][0]


def gpu_name(player: Player, gpu: int) -> str:
    """`NODE/UUID`."""
    number = (player.hall * 10_000 + player.number) * GPUS + gpu
    return f"{player.name}/GPU-{number:08x}-7a3c-4d11-9e20-{number * 2_654_435_761 % 2**48:012x}"


def gpu_power(player: Player, gpu: int, seq: int) -> float:
    """Power of a GPU in a message, W: for comparison with what is stored."""
    return 640.0 + _variant(player, gpu, seq) * 4.25


def _variant(player: Player, gpu: int, seq: int) -> int:
    return (player.number * 7 + gpu * 13 + seq) % VARIANTS


def _heads_of(player: Player) -> tuple[str, ...]:
    """What stands before the values of each of an agent's devices."""
    if player.kind == "gpu":
        return tuple(f'{{"device":"{gpu_name(player, gpu)}",' for gpu in range(GPUS))
    if player.kind == "climate":
        names = sensors_of(racks_of(player.hall)[player.number])
        return tuple(
            f'{{"device":"{name}","temperature_celsius":{21 + at // 4}.'
            for at, name in enumerate(names)
        )
    return ()


@cache
def _gpu_rest(variant: int) -> str:
    """19 of a GPU's 20 values; the counter stands before them."""
    watts = 640.0 + variant * 4.25
    return (
        f',"power_watts":{watts},"power_min_watts":{watts - 41.375},'
        f'"power_max_watts":{watts + 77.75},"power_instant_watts":{watts + 3.5},'
        f'"power_limit_watts":1200.0,"temperature_celsius":{48.0 + variant % 23},'
        f'"memory_temperature_celsius":{55.0 + variant % 29},'
        f'"utilization_ratio":{0.35 + variant / 100:.2f},'
        f'"memory_utilization_ratio":{0.21 + variant / 100:.2f},'
        f'"memory_used_bytes":{151397597184.0 + variant * 1048576.0},'
        f'"memory_total_bytes":206158430208.0,"sm_clock_hertz":{(1785 + variant) * 1e6},'
        '"memory_clock_hertz":3996000000.0,"clock_event_reasons_bitmask":4.0,'
        '"ecc_corrected_errors_total":0.0,"ecc_uncorrected_errors_total":0.0,'
        '"remapped_rows_total":0.0,"pcie_replays_total":0.0,"performance_state_number":0.0}'
    )


def _tray(player: Player, heads: tuple[str, ...], seq: int, seconds: float) -> str:
    energy = 2e6 + 767.5 * seconds / 3600
    return ",".join(
        f'{heads[gpu]}"energy_import_watt_hours":{energy + gpu:.3f}'
        f"{_gpu_rest(_variant(player, gpu, seq))}"
        for gpu in range(GPUS)
    )


def _rack(player: Player, heads: tuple[str, ...], seq: int) -> str:
    turn = player.number + seq
    return ",".join(f"{head}{(turn + at) % 90 + 10}}}" for at, head in enumerate(heads))


@cache
def _mean_watts(role: Role) -> float:
    """Mean power of one meter of a role."""
    it = sum(ROWS) * RACK_WATTS
    loads = PARTS["it"] + PARTS["cooling"] + PARTS["other"]
    part = loads - PARTS["pv"] - PARTS["wind"] if role == "grid" else PARTS[role]
    return it * part / dict(METERS)[role]


def meter_watts(role: Role, seconds: float) -> float:
    """Power of a meter of this role, W; all roles swing together, so that the books close."""
    return _mean_watts(role) * (1 + _SWING * sin(2 * pi * seconds / _PERIOD))


def meter_watt_hours(role: Role, seconds: float) -> float:
    """What its register shows: the integral of `meter_watts`."""
    swing = _SWING * _PERIOD / (2 * pi) * (1 - cos(2 * pi * seconds / _PERIOD))
    return _REGISTER + _mean_watts(role) * (seconds + swing) / 3600


def _meter(player: Player, seconds: float) -> str:
    role = player.role or "other"
    watts, energy = meter_watts(role, seconds), meter_watt_hours(role, seconds)
    amperes = watts / 36_000
    return (
        f'{{"device":"{player.name[5:]}","power_watts":{watts:.1f},'
        f'"power_min_watts":{watts * 0.998:.1f},"power_max_watts":{watts * 1.002:.1f},'
        f'"energy_import_watt_hours":{energy:.0f}.0,"voltage_l1_volts":12701.5,'
        f'"voltage_l2_volts":12698.25,"voltage_l3_volts":12703.0,'
        f'"current_l1_amperes":{amperes:.2f},"current_l2_amperes":{amperes * 0.99:.2f},'
        f'"current_l3_amperes":{amperes * 1.01:.2f},"frequency_hertz":50.0,'
        '"power_factor_ratio":0.98}'
    )
