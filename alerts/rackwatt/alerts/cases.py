# SPDX-License-Identifier: Apache-2.0
"""What must fire, what must not, and what happens without data: the cases of `promtool test rules`.

One file per family in `cases/`; the generated ones, in `alerts/tests/`, hold what promtool wants
to be told in full.

every: 10s                     # how often rules are evaluated
alerts:
  NAME:
    fires: CASE
    silent: [CASE, …]          # each says why it must not fire
    missing: CASE              # no data, or not any more; says what is expected then

CASE: {why: …, every: 10s, series: {SERIES: VALUES}, at: 1m, alerts: [{labels: {…}, tells: …}]}
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files as package_files
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from rackwatt.alerts.alert import Alert
from rackwatt.alerts.rules import all_families, annotations, as_yaml
from rackwatt.alerts.thresholds import Limits, Settings, limits

_SPAN = Annotated[str, Field(pattern=r"^([0-9]+[smhd])+$")]
_LABEL: Final = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
_WITH: Final = re.compile(r"\{\{ with \$labels\.(\w+) \}\}(.*?)\{\{ \. \}\}(.*?)\{\{ end \}\}")


class Expected(BaseModel):
    """An alert that must be on.

    Attributes:
        labels: those of its series; severity, owner and the rule's own are added.
        tells: its description, with the value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: dict[str, str] = {}
    tells: Annotated[str, Field(min_length=1)]


class Case(BaseModel):
    """Series, an instant, and what is on then; nothing, where nothing is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    why: str = ""
    every: _SPAN = "10s"
    series: dict[str, str] = {}
    at: _SPAN
    alerts: list[Expected] = []


class Cases(BaseModel):
    """Those of an alert."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fires: Case
    silent: list[Case]
    missing: Case

    def named(self) -> Iterator[tuple[str, Case]]:
        """Each with what it is."""
        yield "fires", self.fires
        for case in self.silent:
            yield "silent", case
        yield "missing data", self.missing


class FamilyCases(BaseModel):
    """Those of a family, and how often its rules are evaluated in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: _SPAN = "10s"
    alerts: dict[str, Cases]


def family_cases(family: str) -> FamilyCases:
    """The cases of a family.

    Raises:
        OSError: it has no file.
        pydantic.ValidationError: a case is missing, or something has no meaning.
    """
    path = package_files("rackwatt.alerts") / "cases" / f"{family}.yaml"
    return FamilyCases.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def expanded(text: str, labels: Mapping[str, str]) -> str:
    """A summary or an address as Prometheus fills it in: labels only."""
    kept = _WITH.sub(
        lambda found: found[2] + labels[found[1]] + found[3] if labels.get(found[1]) else "", text
    )
    return _LABEL.sub(lambda found: labels.get(found[1], ""), kept)


def _expected(
    alert: Alert, family: str, one: Expected, settings: Settings, given: Limits
) -> dict[str, Any]:
    labels = {**one.labels, "severity": alert.severity, "owner": alert.owner, **alert.labels}
    told = annotations(alert, family, settings, given)
    return {
        "exp_labels": labels,
        "exp_annotations": {
            key: one.tells if key == "description" else expanded(text, labels)
            for key, text in told.items()
        },
    }


def files(settings: Settings) -> dict[str, str]:
    """Every file of tests: its name, and its text.

    Raises:
        OSError: a family has no cases.
        KeyError: an alert has none.
    """
    given = limits(settings)
    made = {}
    for family in all_families(given):
        held = family_cases(family.key)
        tests = [
            {
                "name": f"{alert.name} {kind}" + (f": {case.why}" if case.why else ""),
                "interval": case.every,
                "input_series": [
                    {"series": series, "values": values} for series, values in case.series.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": case.at,
                        "alertname": alert.name,
                        "exp_alerts": [
                            _expected(alert, family.key, one, settings, given)
                            for one in case.alerts
                        ],
                    }
                ],
            }
            for alert in family.alerts
            for kind, case in held.alerts[alert.name].named()
        ]
        made[f"{family.key}.yaml"] = as_yaml(
            {
                "rule_files": [f"../rules/{family.key}.yaml"],
                "evaluation_interval": held.every,
                "tests": tests,
            }
        )
    return made
