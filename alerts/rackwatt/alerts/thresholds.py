# SPDX-License-Identifier: Apache-2.0
"""Where a figure becomes worth a look and worth a call: `alerts/thresholds.yaml`, and a site's own.

Rules hold no number of their own: durations apart, all stand there, in base units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FILE: Final = Path(__file__).with_name("thresholds.yaml")
"""A link to `alerts/thresholds.yaml`; the file itself in a wheel."""


class SettingsError(Exception):
    """A settings file is wrong; the message says where and how."""


class Limit(BaseModel):
    """Two bounds of a figure, in its base unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Literal["above", "below"]
    warn: float
    bad: float
    why: Annotated[str, Field(min_length=1)]

    @property
    def sign(self) -> str:
        """`>=` or `<`: on which side the trouble lies; as Grafana colours."""
        return ">=" if self.when == "above" else "<"


class OwnLimit(BaseModel):
    """What a site sets of a limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: float | None = None
    bad: float | None = None


class Settings(BaseModel):
    """A site's settings for its alerts.

    runbooks: https://wiki.example.net/runbooks      # NAME.md is appended
    grafana: https://grafana.example.net
    thresholds: {pue_ratio: {warn: 1.25}}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    runbooks: Annotated[str, Field(pattern=r"^https?://\S+$")] = (
        "https://rackwatt.example.org/runbooks"
    )
    grafana: Annotated[str, Field(pattern=r"^https?://\S+$")] = "https://grafana.example.org"
    thresholds: dict[str, OwnLimit] = {}


_LIMITS: Final = TypeAdapter(dict[str, Limit])


@dataclass(slots=True)
class Limits:
    """The limits, which remember what was asked for.

    Attributes:
        held: by name.
        used: names that were asked for.
    """

    held: Mapping[str, Limit]
    used: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> Limit:
        """A limit.

        Raises:
            KeyError: there is none of this name.
        """
        self.used.add(name)
        return self.held[name]

    def warn(self, name: str) -> str:
        """Side and bound from which it is worth a look, as PromQL: `>= 0.9`."""
        return f"{self[name].sign} {self[name].warn:.12g}"

    def bad(self, name: str) -> str:
        """Side and bound from which it is worth a call."""
        return f"{self[name].sign} {self[name].bad:.12g}"


def shipped() -> dict[str, Limit]:
    """The limits as they come.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: it is wrong.
    """
    return _LIMITS.validate_python(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def read_settings(path: Path) -> Settings:
    """A site's settings.

    Raises:
        SettingsError: the file cannot be read, is no YAML, or holds what has no meaning.
    """
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SettingsError(f"{path}{where}: {error.problem}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error


def limits(settings: Settings) -> Limits:
    """The limits of a site: its own before the shipped ones.

    Raises:
        SettingsError: it sets one that does not exist, or bounds in the wrong order.
    """
    held = shipped()
    for name, own in settings.thresholds.items():
        if name not in held:
            known = ", ".join(sorted(held))
            raise SettingsError(f"thresholds.{name}: no such limit; there are {known}")
        held[name] = held[name].model_copy(update=own.model_dump(exclude_none=True))
    for name, limit in held.items():
        wrong = limit.warn > limit.bad if limit.when == "above" else limit.warn < limit.bad
        if wrong:
            side = "at most" if limit.when == "above" else "at least"
            raise SettingsError(f"thresholds.{name}: warn must be {side} bad ({limit.bad:g})")
    return Limits(held)
