# SPDX-License-Identifier: Apache-2.0
"""Clouds, wind and temperature at an instant, from the seed alone."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world.almanac import Almanac
from rackwatt.twin.world.noise import mixture, probability, process

_CLOUDS, _WIND, _WARMTH, _MOISTURE, _PPA_CLOUDS, _PPA_WIND = range(1, 7)
# (weight, seconds): weather systems, clouds, cloud edges; the same for wind with its gusts.
_CLOUD_PARTS: Final = ((0.9, 6 * 3600.0), (0.7, 1500.0), (0.4, 110.0))
_WIND_PARTS: Final = ((0.85, 8 * 3600.0), (0.45, 2700.0), (0.28, 75.0))

# Tétouan, normals of the nearest station (Tetouan-Sania Ramel, 1991-2020, rounded).
_MEAN_CELSIUS: Final = 18.6
_SEASON_KELVIN: Final = 6.2
_DAY_KELVIN: Final = 4.5
_WARMEST_DAY: Final = 218.0
_WARMEST_HOUR: Final = 14.5


@dataclass(frozen=True, slots=True)
class Weather:
    """The sky over the site."""

    irradiance: float
    """On the horizontal, W/m2."""
    plane_irradiance: float
    """On the panels, W/m2."""
    wind_speed: float
    """At the hub, m/s."""
    wind_ratio: float
    """What the turbine makes of it, as a ratio of its rating."""
    temperature: float
    """Dry bulb, degrees Celsius."""
    humidity: float
    """Relative, 0..1."""
    wet_bulb: float
    """Degrees Celsius."""
    remote_sun_ratio: float
    """Output of a wheeled solar plant elsewhere, as a ratio of its rating."""
    remote_wind_ratio: float
    """Output of a wheeled wind farm elsewhere, as a ratio of its rating."""


def wet_bulb(temperature: float, humidity: float) -> float:
    """Wet-bulb temperature at sea level, by Stull (2011), J. Appl. Meteorol. Climatol. 50, 2267.

    Valid for 5 to 99 % and -20 to 50 degrees Celsius, within 1 K.
    """
    percent = min(max(humidity * 100.0, 5.0), 99.0)
    return (
        temperature * math.atan(0.151977 * math.sqrt(percent + 8.313659))
        + math.atan(temperature + percent)
        - math.atan(percent - 1.676331)
        + 0.00391838 * percent * math.sqrt(percent) * math.atan(0.023101 * percent)
        - 4.686035
    )


def shade(cover: float) -> float:
    """How much of the direct light clouds take, 0..1, from a standard normal number.

    Below a threshold the sky is clear, so clear spells exist; most clouds let some light through.
    """
    return min(max((cover - 0.25) / 1.3, 0.0), 1.0) * 0.93


class Sky:
    """The weather of a site as a function of time."""

    def __init__(self, spec: TwinSpec, almanac: Almanac) -> None:
        self._spec = spec
        self._almanac = almanac
        shape = spec.wind.weibull_shape
        self._scale = spec.wind.mean_speed_meters_per_second / math.gamma(1.0 + 1.0 / shape)

    def at(self, time: float) -> Weather:
        """The weather at a UTC time in seconds."""
        seed = self._spec.seed
        horizontal, direct, diffuse = self._almanac.sun_at(time)
        taken = shade(mixture(seed, _CLOUDS, _CLOUD_PARTS, time))
        sky = 1.0 - 0.3 * taken  # what clouds take from the sun, they give in part to the sky
        plane = direct * (1.0 - taken) + diffuse * sky
        warm = self._temperature(time) - (2.0 * taken if horizontal > 0 else 0.0)
        moist = 0.68 - 0.018 * (warm - _MEAN_CELSIUS)
        moist += 0.08 * process(seed, _MOISTURE, 9 * 3600.0, time)
        moist = min(max(moist, 0.15), 0.98)
        far = shade(mixture(seed, _PPA_CLOUDS, _CLOUD_PARTS[:2], time))
        speed = self.wind(time, _WIND)
        return Weather(
            irradiance=horizontal * (1.0 - 0.72 * taken),
            plane_irradiance=plane,
            wind_speed=speed,
            wind_ratio=self._almanac.curve.at(speed),
            temperature=warm,
            humidity=moist,
            wet_bulb=wet_bulb(warm, moist),
            remote_sun_ratio=min((direct * (1.0 - far) + diffuse * (1.0 - 0.3 * far)) / 1050, 1.0),
            remote_wind_ratio=self._almanac.curve.at(self.wind(time, _PPA_WIND)),
        )

    def wind(self, time: float, stream: int = _WIND) -> float:
        """Wind speed at the hub, m/s: Weibull by quantile from a Gaussian process."""
        parts = _WIND_PARTS if stream == _WIND else _WIND_PARTS[:2]
        rank = probability(mixture(self._spec.seed, stream, parts, time))
        rank = min(max(rank, 1e-9), 1 - 1e-9)
        return float(self._scale * (-math.log1p(-rank)) ** (1.0 / self._spec.wind.weibull_shape))

    def _temperature(self, time: float) -> float:
        moment = datetime.fromtimestamp(time, UTC)
        day = moment.timetuple().tm_yday
        solar_hour = (time / 3600.0 + self._spec.site.longitude / 15.0) % 24.0
        season = _SEASON_KELVIN * math.cos(2 * math.pi * (day - _WARMEST_DAY) / 365.25)
        hour = _DAY_KELVIN * math.cos(2 * math.pi * (solar_hour - _WARMEST_HOUR) / 24.0)
        drift = 1.8 * process(self._spec.seed, _WARMTH, 12 * 3600.0, time)
        return _MEAN_CELSIUS + season + hour + drift
