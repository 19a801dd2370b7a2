# SPDX-License-Identifier: Apache-2.0
"""`phases:` and `commitments:` of the site file, as they are written."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rackwatt.collector.accounting.commitments import UNITS, Kind, Unit

Language = Literal["en", "fr", "ar"]
_Sentence = Annotated[str, Field(min_length=1, max_length=200)]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhaseModel(_Model):
    """A part of the site that is built at once, with its days."""

    id: str
    name: str = ""
    announced: date | None = None
    energised: date | None = None
    in_service: date | None = None
    watts: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    halls: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class CommitmentModel(_Model):
    """One promise that was made in public."""

    id: str
    text: dict[Language, _Sentence] = Field(min_length=1)
    kind: Kind
    value: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    unit: Unit | None = None
    phase: str = ""
    due: date
    source: Annotated[str, Field(min_length=1, max_length=500)]
    published: date

    @model_validator(mode="after")
    def _fits(self) -> Self:
        unit = UNITS[self.kind]
        if self.kind == "in_service":
            if self.unit not in {None, "date", "watts"}:
                raise ValueError("'in_service' promises the day 'due'; its 'value' is in watts")
            return self
        if self.value is None:
            raise ValueError(f"{self.kind!r} needs 'value', in {unit}")
        if self.unit not in {None, unit}:
            raise ValueError(f"{self.kind!r} is in {unit}: write 'value' in {unit}")
        if unit == "ratio" and self.value > 1:
            meant = f" (did you mean {self.value / 100:g}?)" if self.value <= 100 else ""
            raise ValueError(f"'value' of a share is a ratio 0..1{meant}")
        if self.phase:
            raise ValueError("only 'in_service' is promised for a phase")
        return self
