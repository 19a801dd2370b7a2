# SPDX-License-Identifier: Apache-2.0
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rackwatt.twin import Kit, TwinSpec, build, load_spec
from rackwatt.twin.site import SimulatedSite
from rackwatt.twin.world import Almanac

NOON = datetime(2026, 6, 21, 12, 21, tzinfo=UTC).timestamp()  # the sun's noon at Tétouan
MIDNIGHT = datetime(2026, 6, 21, 0, 21, tzinfo=UTC).timestamp()


@pytest.fixture(scope="session")
def demo() -> TwinSpec:
    return load_spec("demo")


@pytest.fixture(scope="session")
def almanac(demo: TwinSpec) -> Almanac:
    """Computed once: importing pvlib takes a second."""
    return Almanac(demo)


@pytest.fixture
def kit(demo: TwinSpec, tmp_path: Path) -> Kit:
    return build(demo, tmp_path, "mqtt://127.0.0.1:1", random.Random(7))  # noqa: S311


@pytest.fixture
def start_site(
    demo: TwinSpec, kit: Kit, almanac: Almanac
) -> Iterator[Callable[..., SimulatedSite]]:
    """Start a site in the kit's folder; starting another one is a restart after a SIGKILL."""
    started: list[SimulatedSite] = []

    def start(now: float = NOON, spec: TwinSpec | None = None) -> SimulatedSite:
        started.append(SimulatedSite(spec or demo, kit, now, almanac))
        return started[-1]

    yield start
    for site in started:
        site.close()
