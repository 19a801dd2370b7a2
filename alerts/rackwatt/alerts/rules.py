# SPDX-License-Identifier: Apache-2.0
"""All alerts, found in `families/`, as the files that Prometheus reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import yaml

from rackwatt.alerts import families
from rackwatt.alerts.alert import Alert
from rackwatt.alerts.texts import family_words, filled, isolated
from rackwatt.alerts.thresholds import Limits, Settings, limits

HOME: Final = Path(__file__).resolve().parents[2]
"""The folder `alerts/` of a checkout: `rules/`, `tests/` and `runbooks/` lie there."""
HEAD: Final = (
    "# SPDX-License-Identifier: Apache-2.0\n# Made by 'rackwatt alerts build'; do not edit.\n"
)


@dataclass(frozen=True, slots=True)
class Family:
    """Alerts of one trade.

    Attributes:
        key: its name, and its file's.
        alerts: in the order of the file.
    """

    key: str
    alerts: tuple[Alert, ...]


@lru_cache(maxsize=1)
def _modules() -> tuple[tuple[str, ModuleType], ...]:
    names = sorted(module.name for module in iter_modules(families.__path__))
    return tuple((name, import_module(f"{families.__name__}.{name}")) for name in names)


def all_families(given: Limits) -> tuple[Family, ...]:
    """Every family: what `alerts()` of each module in `families/` returns.

    Raises:
        KeyError: one asks for a limit that does not exist.
    """
    return tuple(Family(name, tuple(module.alerts(given))) for name, module in _modules())


def annotations(alert: Alert, family: str, settings: Settings, given: Limits) -> dict[str, str]:
    """What an alert tells people, with templates as Prometheus fills them in.

    Raises:
        KeyError: it has no texts.
    """
    words = family_words(family)[alert.name]
    return {
        "summary": words.summary.en,
        "summary_fr": words.summary.fr,
        "summary_ar": isolated(words.summary.ar),
        "description": filled(words.description, given),
        "runbook_url": f"{settings.runbooks.rstrip('/')}/{alert.name}.md",
        "dashboard_url": f"{settings.grafana.rstrip('/')}/d/rackwatt-{alert.board}-en"
        "{{ with $labels.site }}?var-site={{ . }}{{ end }}",
    }


def _rule(alert: Alert, family: str, settings: Settings, given: Limits) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.wait:
        rule["for"] = alert.wait
    if alert.keep:
        rule["keep_firing_for"] = alert.keep
    rule["labels"] = {"severity": alert.severity, "owner": alert.owner, **alert.labels}
    rule["annotations"] = annotations(alert, family, settings, given)
    return rule


class _Dumper(yaml.SafeDumper):
    """Long PromQL as it was written, over several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(held: Mapping[str, Any]) -> str:
    """A generated file's text."""
    body = yaml.dump(held, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
    return HEAD + body


def files(settings: Settings) -> dict[str, str]:
    """Every file of rules: its name, and its text.

    Raises:
        rackwatt.alerts.thresholds.SettingsError: the settings set what does not exist.
    """
    given = limits(settings)
    return {
        f"{family.key}.yaml": as_yaml(
            {
                "groups": [
                    {
                        "name": f"rackwatt-{family.key}",
                        "rules": [
                            _rule(alert, family.key, settings, given) for alert in family.alerts
                        ],
                    }
                ]
            }
        )
        for family in all_families(given)
    }
