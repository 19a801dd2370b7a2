# SPDX-License-Identifier: Apache-2.0
"""What is known beforehand: the clear sky of a day, by pvlib, and a turbine, by windpowerlib.

Both libraries bring pandas: importing them costs a second and 100 MB. So a day is computed once,
per minute, as plain arrays, and a long-running twin lets a short-lived child do it
(`python -m rackwatt.twin.almanac_child`): its own process then stays small.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rackwatt.twin.spec import TwinSpec

Array = NDArray[np.float64]
MINUTES: Final = 1440
_MOST_DAYS: Final = 40
"""Files that are kept, 35 kB each."""
_LINKE_TURBIDITY: Final = 3.6
"""Yearly mean for the western Mediterranean coast, from the SoDa maps that pvlib ships (3-4.5)."""
_ALBEDO: Final = 0.2


@dataclass(frozen=True, slots=True)
class SunDay:
    """The clear sky of one UTC day at each minute and at the next midnight: 1441 values.

    Irradiances in W/m2: horizontal, and on the panels the direct and the diffuse part.
    """

    horizontal: Array
    direct: Array
    diffuse: Array


@dataclass(frozen=True, slots=True)
class Curve:
    """A turbine's power curve, scaled to 1 at its rated power."""

    speeds: Array
    """m/s at the hub, rising."""
    ratios: Array
    """0 below the cut-in and above the cut-out speed."""

    def at(self, speed: float) -> float:
        """Power as a ratio of the rated power at `speed` m/s."""
        if speed > float(self.speeds[-1]):
            return 0.0
        return float(np.interp(speed, self.speeds, self.ratios))


def sun_day(spec: TwinSpec, day: date) -> SunDay:
    """Clear-sky irradiance by Ineichen and Perez, transposed by Hay and Davies.

    The Linke turbidity is a constant: no file is read.
    """
    with _patience():
        return _sun_day(spec, day)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Both libraries use what pandas has deprecated: theirs to settle, not our users'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _sun_day(spec: TwinSpec, day: date) -> SunDay:
    import pandas as pd
    from pvlib import irradiance
    from pvlib.location import Location

    site, pv = spec.site, spec.pv
    start = pd.Timestamp(datetime(day.year, day.month, day.day, tzinfo=UTC))
    times = pd.date_range(start, periods=MINUTES + 1, freq="1min")
    place = Location(site.latitude, site.longitude, "UTC", site.altitude_meters)
    sun = place.get_solarposition(times)
    clear = place.get_clearsky(
        times, model="ineichen", solar_position=sun, linke_turbidity=_LINKE_TURBIDITY
    )
    plane = irradiance.get_total_irradiance(
        pv.tilt_degrees,
        pv.azimuth_degrees,
        sun["apparent_zenith"],
        sun["azimuth"],
        clear["dni"],
        clear["ghi"],
        clear["dhi"],
        dni_extra=irradiance.get_extra_radiation(times),
        albedo=_ALBEDO,
        model="haydavies",
    )
    return SunDay(_clean(clear["ghi"]), _clean(plane["poa_direct"]), _clean(plane["poa_diffuse"]))


def _clean(column: Any) -> Array:
    values = np.nan_to_num(np.asarray(column, dtype=np.float64))
    return np.maximum(values, 0.0)


def turbine_curve(name: str, hub_height: float) -> Curve:
    """The power curve that windpowerlib ships for `name`.

    Raises:
        ValueError: it has no such turbine.
    """
    from windpowerlib import WindTurbine
    from windpowerlib.tools import WindpowerlibUserWarning

    with _patience(), warnings.catch_warnings():
        warnings.simplefilter("ignore", WindpowerlibUserWarning)
        # A bundled copy of the OpenEnergy database: no network.
        turbine = WindTurbine(hub_height=hub_height, turbine_type=name)
    if turbine.power_curve is None:
        raise ValueError(f"windpowerlib has no power curve of a turbine {name!r}")
    speeds = np.asarray(turbine.power_curve["wind_speed"], dtype=np.float64)
    powers = np.asarray(turbine.power_curve["value"], dtype=np.float64)
    return Curve(speeds, np.clip(powers / float(turbine.nominal_power), 0.0, 1.0))


class Almanac:
    """Days and curve, computed when first asked for and kept.

    Args:
        spec: the site.
        directory: where a child leaves the days that it computed; None: compute in this process.
    """

    def __init__(self, spec: TwinSpec, directory: Path | None = None) -> None:
        self._spec = spec
        self._directory = directory
        self._days: dict[date, SunDay] = {}
        self._curve: Curve | None = None

    @property
    def curve(self) -> Curve:
        """The turbine."""
        if self._curve is None:
            file = None if self._directory is None else self._directory / "turbine.npy"
            if file is not None and file.exists():
                speeds, ratios = np.load(file)
                self._curve = Curve(speeds, ratios)
            else:
                wind = self._spec.wind
                self._curve = turbine_curve(wind.turbine, wind.hub_height_meters)
        return self._curve

    def day(self, day: date) -> SunDay:
        """The sun of one UTC day."""
        found = self._days.get(day)
        if found is None:
            while len(self._days) >= 16:
                del self._days[next(iter(self._days))]
            file = self._file(day)
            found = (
                SunDay(*np.load(file))
                if file is not None and file.exists()
                else sun_day(self._spec, day)
            )
            self._days[day] = found
        return found

    def has(self, day: date) -> bool:
        """Whether asking for `day` is cheap."""
        file = self._file(day)
        return day in self._days or (file is not None and file.exists())

    def _file(self, day: date) -> Path | None:
        return None if self._directory is None else self._directory / f"sun-{day}.npy"

    def sun_at(self, time: float) -> tuple[float, float, float]:
        """Horizontal, direct and diffuse clear-sky irradiance at a UTC time in seconds, W/m2."""
        moment = datetime.fromtimestamp(time, UTC)
        day = self.day(moment.date())
        minute = (time % 86400.0) / 60.0
        index = min(int(minute), MINUTES - 1)
        part = minute - index
        return tuple(  # type: ignore[return-value]
            float(values[index] + part * (values[index + 1] - values[index]))
            for values in (day.horizontal, day.direct, day.diffuse)
        )


def write_days(spec: TwinSpec, directory: Path, days: list[date]) -> None:
    """Compute what is missing and leave it in `directory`; files appear whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {f"sun-{day}.npy": day for day in days}
    for file in sorted(directory.glob("sun-*.npy"))[:-_MOST_DAYS]:
        if file.name not in wanted:
            file.unlink()
    for name, day in wanted.items():
        if not (directory / name).exists():
            sun = sun_day(spec, day)
            _save(directory / name, np.stack([sun.horizontal, sun.direct, sun.diffuse]))
    if not (directory / "turbine.npy").exists():
        curve = turbine_curve(spec.wind.turbine, spec.wind.hub_height_meters)
        _save(directory / "turbine.npy", np.stack([curve.speeds, curve.ratios]))


def _save(file: Path, values: Array) -> None:
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.save(stream, values)
    partial.replace(file)


def child_command(directory: Path) -> list[str]:
    """The command of the child that computes; its standard input is `child_input`."""
    return [sys.executable, "-m", "rackwatt.twin.almanac_child", str(directory)]


def child_input(spec: TwinSpec, days: list[date]) -> bytes:
    """What the child reads."""
    request = {"spec": spec.model_dump(mode="json"), "days": [day.isoformat() for day in days]}
    return json.dumps(request).encode()
