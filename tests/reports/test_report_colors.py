# SPDX-License-Identifier: Apache-2.0
"""The printed colours are told apart by eyes that lack a kind of cones, and in grey.

Dichromacy is simulated after Machado, Oliveira and Fernandes (2009), severity 1, in linear sRGB;
distances are CIEDE2000, whose unit is about what an eye can just see.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

import pytest

from rackwatt.reports.pdf.palette import SCALE, SINKS, SOURCES

Triple = tuple[float, float, float]
EYES: Mapping[str, Sequence[Triple]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
XYZ: Sequence[Triple] = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE: Triple = (0.95047, 1.0, 1.08883)
APART = 12.0
GROUPS: Mapping[str, Sequence[str]] = {
    "sources": tuple(SOURCES.values()),
    "uses": tuple(SINKS.values()),
    "scale": SCALE,
}


def times(matrix: Sequence[Triple], value: Triple) -> Triple:
    x, y, z = (sum(a * b for a, b in zip(row, value, strict=True)) for row in matrix)
    return x, y, z


def linear(color: str) -> Triple:
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return red, green, blue


def lab(color: Triple) -> Triple:
    red, green, blue = (min(1.0, max(0.0, part)) for part in color)

    def root(part: float) -> float:
        return part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116

    x, y, z = (
        root(part / white)
        for part, white in zip(times(XYZ, (red, green, blue)), WHITE, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: Triple, two: Triple) -> float:
    """CIEDE2000."""
    mean_c = (hypot(*one[1:]) + hypot(*two[1:])) / 2
    stretch = 1.5 - 0.5 * sqrt(mean_c**7 / (mean_c**7 + 25**7))
    (l1, a1, b1), (l2, a2, b2) = one, two
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = hypot(a1, b1), hypot(a2, b2)
    h1, h2 = degrees(atan2(b1, a1)) % 360, degrees(atan2(b2, a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * cos(radians(hue - 30))
        + 0.24 * cos(radians(2 * hue))
        + 0.32 * cos(radians(3 * hue + 6))
        - 0.20 * cos(radians(4 * hue - 63))
    )
    by_l = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2))
    by_c = (c2 - c1) / (1 + 0.045 * chroma)
    by_h = 2 * sqrt(c1 * c2) * sin(radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    bend = -2 * sqrt(chroma**7 / (chroma**7 + 25**7))
    bend *= sin(radians(60 * exp(-(((hue - 275) / 25) ** 2))))
    return sqrt(by_l**2 + by_c**2 + by_h**2 + bend * by_c * by_h)


def seen(color: str, eyes: str) -> Triple:
    return lab(times(EYES[eyes], linear(color)))


@pytest.mark.parametrize(
    ("one", "two", "distance"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ],
)
def test_the_distance_is_that_of_the_published_examples(
    one: Triple, two: Triple, distance: float
) -> None:
    """Sharma, Wu and Dalal (2005)."""
    assert apart(one, two) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("group", GROUPS)
def test_any_two_colors_of_a_chart_are_told_apart(group: str, eyes: str) -> None:
    colors = GROUPS[group]
    assert len(colors) >= 5
    near = {
        pair: apart(seen(pair[0], eyes), seen(pair[1], eyes)) for pair in combinations(colors, 2)
    }
    pair = min(near, key=lambda each: near[each])
    assert near[pair] >= APART, (pair, near[pair])


def test_colors_that_eyes_confuse_are_found() -> None:
    """Red and green of the same lightness: the test above can fail."""
    red, green = "#c0504d", "#6b8e23"
    assert apart(seen(red, "all cones"), seen(green, "all cones")) > 40
    assert apart(seen(red, "deuteranopia"), seen(green, "deuteranopia")) < APART


def test_the_scale_rises_evenly_in_grey() -> None:
    lights = [seen(color, "all cones")[0] for color in SCALE]
    steps = [high - low for low, high in pairwise(lights)]
    assert min(steps) >= 12
    assert max(steps) <= 2 * min(steps)
