# SPDX-License-Identifier: Apache-2.0
"""The signals as Prometheus metrics. What is unknown is absent, never 0.

Series of a site with 2,540 racks: one for each rated feed (5,400), five for each rack (12,700),
two for each row and side, some for each coolant unit, and at most `MOST_TROUBLES` of GPUs: some
21,000, beside 20,000 of the chains.
"""

from collections.abc import Sequence
from typing import Final

from rackwatt.wire.metrics import MetricSpec

MOST_TROUBLES: Final = 2_000
_SIDE: Final = ("site", "hall", "row", "side")
_RACK: Final = ("site", "hall", "row", "rack")
_COOLANT: Final = ("site", "hall", "device")


def _gauge(name: str, told: str, *labels: str) -> MetricSpec:
    return MetricSpec(f"rackwatt_{name}", "gauge", told, labels)


FEED_UP: Final = _gauge(
    "feed_up",
    "1 while a feed is powered, 0: it is dead while what it feeds draws from the other side; "
    "PDUs below a dead feed are left out.",
    "site", "hall", "row", "feed", "side",
)  # fmt: skip
FEED_METERS: Final = _gauge("feed_meters_number", "Meters on the feeds of a row's side.", *_SIDE)
FEED_METERS_SILENT: Final = _gauge(
    "feed_meters_silent_number", "Those of them whose power is not known of late.", *_SIDE
)
ON_BATTERY: Final = _gauge(
    "ups_on_battery_ratio", "Share of the last window that a UPS ran on battery.", "site", "device"
)
RUNTIME: Final = _gauge(
    "ups_runtime_seconds", "How long a UPS says that it can go on.", "site", "device"
)
BATTERY_ENERGY: Final = _gauge(
    "battery_energy_watt_hours",
    "What stationary batteries hold, by their measured state of charge.",
    "site",
)
BATTERY_LASTS: Final = _gauge(
    "battery_ride_through_seconds",
    "How long that carries the data center at its present load, discharge losses counted.",
    "site",
)
VOLTAGE: Final = _gauge(
    "voltage_ratio",
    "Voltage over the nominal one of the feed, else over the nearest of IEC 60038 up to 690 V.",
    "site", "device", "phase",
)  # fmt: skip
FREQUENCY: Final = _gauge("frequency_hertz", "Mains frequency at a meter.", "site", "device")

RACK_POWER: Final = _gauge("rack_power_watts", "What all PDUs of a rack draw.", *_RACK)
INLET: Final = _gauge(
    "rack_inlet_temperature_celsius", "Temperature of the air that a rack takes in.", *_RACK
)
HUMIDITY: Final = _gauge(
    "row_humidity_ratio",
    "Relative humidity at the inlets of a row: statistic min and max.",
    "site", "hall", "row", "statistic",
)  # fmt: skip
COOLANT_SUPPLY: Final = _gauge(
    "coolant_supply_temperature_celsius", "What a coolant unit sends to the racks.", *_COOLANT
)
COOLANT_RETURN: Final = _gauge(
    "coolant_return_temperature_celsius", "What comes back to it.", *_COOLANT
)
COOLANT_FLOW: Final = _gauge(
    "coolant_flow_liters_per_second", "Flow of its loop of the racks.", *_COOLANT
)
COOLANT_DEVICES: Final = _gauge(
    "coolant_devices_number",
    "Coolant units of a hall: fresh have said a number in the last 15 s, silent have not.",
    "site", "hall", "state",
)  # fmt: skip

GPUS: Final = _gauge(
    "gpus_number",
    "GPUs of a rack that ever reported, by state: reporting or silent (no power for 30 s).",
    "site", "hall", "rack", "state",
)  # fmt: skip
GPU_MEMORY: Final = _gauge(
    "gpu_memory_temperature_max_celsius", "Hottest GPU memory of a rack.", "site", "hall", "rack"
)
GPU_TROUBLE: Final = _gauge(
    "gpu_trouble",
    "1 for each GPU in trouble (now, or an error within the last hour); 2,000 at most are named.",
    "site", "hall", "rack", "gpu", "trouble",
)  # fmt: skip
GPU_TROUBLES: Final = _gauge(
    "gpu_troubles_number", "GPUs of a hall in trouble, all of them.", "site", "hall", "trouble"
)

PUE_EXPECTED: Final = _gauge(
    "pue_expected_ratio",
    "PUE of the past weeks at the present IT load and wet bulb; absent until it is known.",
    "site",
)
WET_BULB: Final = _gauge(
    "outdoor_wet_bulb_celsius", "By the devices that stand in no hall; after Stull (2011).", "site"
)
METERS_WATCHED: Final = _gauge("meters_watched_number", "Meters whose readings are judged.", "site")
UNCHANGED: Final = _gauge(
    "meter_unchanged_seconds",
    "How long all numbers of a meter above 0 W have been the same; told from 60 s on.",
    "site", "meter",
)  # fmt: skip
RESET: Final = _gauge(
    "register_reset_timestamp_seconds",
    "When a register of a meter last went back without rolling over.",
    "site", "meter",
)  # fmt: skip

CATALOGUE: Final[Sequence[MetricSpec]] = (
    FEED_UP, FEED_METERS, FEED_METERS_SILENT, ON_BATTERY, RUNTIME, BATTERY_ENERGY, BATTERY_LASTS,
    VOLTAGE, FREQUENCY, RACK_POWER, INLET, HUMIDITY, COOLANT_SUPPLY, COOLANT_RETURN, COOLANT_FLOW,
    COOLANT_DEVICES, GPUS, GPU_MEMORY, GPU_TROUBLE, GPU_TROUBLES, PUE_EXPECTED, WET_BULB,
    METERS_WATCHED, UNCHANGED, RESET,
)  # fmt: skip
