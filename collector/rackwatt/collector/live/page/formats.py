# SPDX-License-Identifier: Apache-2.0
"""How the page writes a value: the Python half of one specification.

The first HTML is written here, every later second by ``static/js/format.js``. The two halves must
agree to the character, so both run through the same vectors in ``tests/collector``. Rules:

- ``None`` is written as an en dash, never as 0.
- Halves round away from zero, on the exact binary value (what JavaScript's ``toFixed`` does).
- Powers and energies scale to W, kW, MW, GW with 3 or 4 significant digits; a value that rounds
  to 1000 takes the next unit.
- Digits are Western in all languages; separators and unit names come from the catalogue.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

UNKNOWN: Final = "–"
MINUS: Final = "\u2212"


@dataclass(frozen=True, slots=True)
class Locale:
    """What formatting needs besides the value.

    Attributes:
        messages: The catalogue of the language.
        zone: Time zone of the site; times are written in it.
        now_ms: Instant of the frame, in ms since 1970 UTC: a moment on another day is written
            with its date.
    """

    messages: Mapping[str, str]
    zone: tzinfo
    now_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A value as text: its number and its unit, apart."""

    number: str
    unit: str = ""


Formatter = Callable[[float, Locale], Written]


def zone_of(name: object) -> tzinfo:
    """Return the time zone called ``name``, or UTC when there is none of that name."""
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def offsets_around(zone: tzinfo, now_ms: int) -> list[tuple[int, int]]:
    """Return the offsets of ``zone`` from UTC, from 40 days before ``now_ms`` to 400 days after.

    Browsers get these and not the zone's name: their own tables are often years old, and a zone
    that moves its clock by decree (Morocco in Ramadan) would make server and browser disagree.

    Returns:
        ``(start in ms since 1970 UTC, offset in seconds)``, oldest first.
    """

    def offset(second: int) -> int:
        delta = datetime.fromtimestamp(second, tz=zone).utcoffset()
        return 0 if delta is None else int(delta.total_seconds())

    day = 86_400
    second = now_ms // 1000 - 40 * day
    found = [(second * 1000, offset(second))]
    for _ in range(440):
        if offset(second + day) != found[-1][1]:
            low, high = second, second + day
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if offset(middle) != found[-1][1] else (middle, high)
            found.append((high * 1000, offset(high)))
        second += day
    return found


def fixed(value: float, decimals: int) -> str:
    """Write ``value`` with ``decimals`` digits and a full stop, halves away from zero."""
    step = Decimal(1).scaleb(-decimals)
    rounded = abs(Decimal(value)).quantize(step, rounding=ROUND_HALF_UP)
    sign = "-" if value < 0 and rounded != 0 else ""
    return f"{sign}{rounded:f}"


def written_number(value: float, decimals: int, locale: Locale) -> str:
    """Write a number with the separators of the language."""
    text = fixed(value, decimals)
    sign = MINUS if text.startswith("-") else ""
    whole, _, fraction = text.removeprefix("-").partition(".")
    if len(whole) > 3:
        whole = f"{int(whole):,}".replace(",", locale.messages["number.group"])
    point = locale.messages["number.decimal"] if fraction else ""
    return f"{sign}{whole}{point}{fraction}"


def _decimals(size: float, *, whole_units: bool) -> int:
    if size < 10:
        return 2
    if size < 100 or not whole_units:
        return 1
    return 0


def _scaled(value: float, locale: Locale, units: str, *, whole: bool) -> Written:
    names = locale.messages[units].split(" ")
    if value == 0:
        return Written("0", names[0])
    index = 0
    size = abs(value)
    while index < len(names) - 1:
        decimals = _decimals(size, whole_units=whole or index == 0)
        if float(fixed(size, decimals)) < 1000:
            break
        index += 1
        size = abs(value) / 1000**index
    decimals = _decimals(size, whole_units=whole or index == 0)
    signed = -size if value < 0 else size
    return Written(written_number(signed, decimals, locale), names[index])


def _power(value: float, locale: Locale) -> Written:
    return _scaled(value, locale, "units.power", whole=False)


def _energy(value: float, locale: Locale) -> Written:
    return _scaled(value, locale, "units.energy", whole=False)


def _bytes(value: float, locale: Locale) -> Written:
    return _scaled(value, locale, "units.bytes", whole=True)


def _pue(value: float, locale: Locale) -> Written:
    return Written(written_number(value, 3, locale))


def _count(value: float, locale: Locale) -> Written:
    return Written(written_number(value, 0, locale))


def _percent(value: float, locale: Locale) -> Written:
    return Written(written_number(value * 100, 1, locale), "%")


def _percent_whole(value: float, locale: Locale) -> Written:
    return Written(written_number(value * 100, 0, locale), "%")


def _percent_signed(value: float, locale: Locale) -> Written:
    text = written_number(value * 100, 2, locale)
    sign = "+" if value > 0 and float(fixed(value * 100, 2)) > 0 else ""
    return Written(sign + text, "%")


def _intensity(value: float, locale: Locale) -> Written:
    decimals = 0 if abs(value) >= 100 else 1
    return Written(written_number(value, decimals, locale), locale.messages["units.intensity"])


def _temperature(value: float, locale: Locale) -> Written:
    return Written(written_number(value, 1, locale), locale.messages["units.temperature"])


def _flow(value: float, locale: Locale) -> Written:
    return Written(written_number(value, 1, locale), locale.messages["units.flow"])


def _seconds(value: float, locale: Locale) -> Written:
    return Written(written_number(value, 1, locale), locale.messages["units.seconds"])


def _local(value: float, locale: Locale) -> datetime:
    return datetime.fromtimestamp(value // 1000, tz=locale.zone)


def _time(value: float, locale: Locale) -> Written:
    return Written(f"{_local(value, locale):%H:%M:%S}")


def _moment(value: float, locale: Locale) -> Written:
    local = _local(value, locale)
    if locale.now_ms is not None and local.date() == _local(locale.now_ms, locale).date():
        return Written(f"{local:%H:%M:%S}")
    return Written(f"{local:%Y-%m-%d %H:%M:%S}")


FORMATS: Final[Mapping[str, Formatter]] = {
    "power": _power,
    "energy": _energy,
    "bytes": _bytes,
    "pue": _pue,
    "count": _count,
    "percent": _percent,
    "percent_whole": _percent_whole,
    "percent_signed": _percent_signed,
    "intensity": _intensity,
    "temperature": _temperature,
    "flow": _flow,
    "seconds": _seconds,
    "time": _time,
    "moment": _moment,
}


def explain(code: object, messages: Mapping[str, str]) -> str:
    """Say in words why a figure is unknown.

    Args:
        code: ``starting``, ``ups_on_battery``, ``missing:METER,METER`` or anything else.
        messages: The catalogue of the language.
    """
    text = str(code or "unknown")
    if text.startswith("missing:"):
        meters = text.removeprefix("missing:").replace(",", ", ")
        return messages["why.missing"].replace("{meters}", meters)
    return messages.get(f"why.{text}", text)


def write(value: object, kind: str, locale: Locale, part: str = "") -> str | None:
    """Write one value of a frame.

    Args:
        value: A number, a text or None.
        kind: A key of :data:`FORMATS`, ``text``, ``why`` (see :func:`explain`), or ``enum:PREFIX``
            for a code which the catalogue translates under ``PREFIX.code`` (an unknown code is
            written as it is).
        locale: Language and zone.
        part: ``number`` or ``unit`` (with its space) for that part alone, empty for both.

    Returns:
        The text, or None when the value is unknown.
    """
    if value is None or value == "":
        return None
    if kind == "text":
        return str(value)
    if kind == "why":
        return explain(value, locale.messages)
    if kind.startswith("enum:"):
        return locale.messages.get(f"{kind.removeprefix('enum:')}.{value}", str(value))
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    written = FORMATS[kind](value, locale)
    if part == "number":
        return written.number
    unit = written.unit
    if unit:
        # The space belongs to the unit: languages differ in it, and none is best before "%".
        unit = locale.messages["number.percent_space" if unit == "%" else "number.space"] + unit
    return unit if part == "unit" else written.number + unit


def is_numeric(kind: str) -> bool:
    """Tell whether texts of this kind are numbers (set left to right in every language)."""
    return kind in FORMATS
