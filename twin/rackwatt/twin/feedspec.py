# SPDX-License-Identifier: Apache-2.0
"""What feeds the racks of a simulated site: parts of the twin's own file.

Ratings in A per phase, V between lines, masses in kg, temperatures in degrees Celsius.
"""

from math import isclose
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

_Amperes = Annotated[float, Field(gt=0, le=10_000)]
_Ratio = Annotated[float, Field(gt=0, le=1)]
Phases = tuple[float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowFeedsSpec(_Strict):
    """How a row of racks is fed; what is None comes from the site's `feeds`."""

    phase_shares: Phases = (0.338, 0.329, 0.333)
    """What of the row's load lies on L1, L2 and L3."""
    rack_amperes: _Amperes | None = None
    busway_amperes: _Amperes | None = None

    @field_validator("phase_shares")
    @classmethod
    def _whole(cls, value: Phases) -> Phases:
        if min(value) < 0 or not isclose(sum(value), 1.0, abs_tol=1e-6):
            raise ValueError("three shares that add up to 1")
        return value


class FeedsSpec(_Strict):
    """Power and cooling chain, as the site file that the twin writes names them.

    Two sides, each able to carry all: utility, transformer, board with a standby generator, UPS, a
    busway for each row, a PDU for each rack. Chillers, a header, coolant units, racks.
    """

    chains: bool = True
    """Whether the site file has them at all."""
    volts: float = Field(default=400.0, gt=0, le=1000)
    derating: _Ratio = 0.8
    """Part of a rating in amperes that may be used for ever."""
    rack_amperes: _Amperes | None = None
    """Of each rack's feed; None: the next usual size that carries the rack alone."""
    busway_amperes: _Amperes | None = None
    """Of each row's busway; None: the next usual size that carries the row alone."""
    spare_ratio: float = Field(default=0.1, ge=0, le=10)
    """What transformers, boards and UPS are rated above the largest load of one side alone."""
    side_meters: bool = True
    """Whether each busway of a hall with row meters has a meter of its own, too."""
    gensets: bool = True
    """Whether each board has a generator on standby."""
    chillers: int = Field(default=3, ge=1, le=100)
    """Of each hall."""
    chillers_needed: int = Field(default=2, ge=1, le=100)
    coolant_kilograms: float = Field(default=25.0, ge=0)
    """Of each rack; with the metal it is what warms up when the flow stops."""
    metal_kilograms: float = Field(default=100.0, ge=0)
    limit_celsius: float = Field(default=65.0, gt=0, le=120)
