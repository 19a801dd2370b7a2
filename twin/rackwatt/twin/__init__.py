# SPDX-License-Identifier: Apache-2.0
"""A simulated site that speaks real protocols: for demonstrations and tests.

    spec = load_spec("demo")                    # or a file
    kit = build(spec, data_dir, broker_url)     # writes site.yaml and agents/*.yaml
    await rackwatt.twin.run.run(spec, kit, stop)    # devices answer on loopback

The runner stands in its own module, because only it needs pymodbus and pysnmp. While it runs,
`inject(data_dir, "dead", "pv-1", 30)` breaks things, and `truth_at`, `latest`, `true_pue` and
`energy_between` say what really happened.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rackwatt.twin.control import active, clear, inject
    from rackwatt.twin.faults import FaultError
    from rackwatt.twin.kit import Kit, build, load_kit
    from rackwatt.twin.spec import SCENARIOS, TwinSpec, load_spec, scenario
    from rackwatt.twin.truth import energy_between, latest, true_pue, truth_at

_HOMES: Final = {
    "control": ("active", "clear", "inject"),
    "faults": ("FaultError",),
    "kit": ("Kit", "build", "load_kit"),
    "spec": ("SCENARIOS", "TwinSpec", "load_spec", "scenario"),
    "truth": ("energy_between", "latest", "true_pue", "truth_at"),
}

__all__ = [
    "SCENARIOS",
    "FaultError",
    "Kit",
    "TwinSpec",
    "active",
    "build",
    "clear",
    "energy_between",
    "inject",
    "latest",
    "load_kit",
    "load_spec",
    "scenario",
    "true_pue",
    "truth_at",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: agents import a part of this package, and pay for that part."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
