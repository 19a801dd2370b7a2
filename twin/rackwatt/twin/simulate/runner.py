# SPDX-License-Identifier: Apache-2.0
"""From the command's words to a full store: checks first, then days after days."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rackwatt.collector.accounting.figures import PeriodFigures
from rackwatt.collector.site import Site, load_site
from rackwatt.collector.site.loader import site_of
from rackwatt.collector.store import InfluxSpec
from rackwatt.twin.files import dump_yaml
from rackwatt.twin.kit import site_document
from rackwatt.twin.simulate.children import BOOKS, Folders
from rackwatt.twin.simulate.crew import Crew
from rackwatt.twin.simulate.messages import Done
from rackwatt.twin.simulate.problems import SimulationProblem
from rackwatt.twin.simulate.scene import Scene
from rackwatt.twin.simulate.sitefile import read_document, write_site_file
from rackwatt.twin.simulate.span import SimulatedSpan, span_of
from rackwatt.twin.simulate.summary import Comparison, compare, figures_of
from rackwatt.twin.simulate.truthfile import TruthFile, check_truth_file
from rackwatt.twin.simulate.wiring import check_site
from rackwatt.twin.simulate.worldof import Derived, derive
from rackwatt.twin.spec import TwinSpec, load_spec
from rackwatt.wire.config import Document

NOTE_FILE: Final = "simulation.json"
_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        data: Folder of ledger, site file and embedded store.
        start: The first local day, as `YYYY-MM-DD`.
        days: How many.
        site_file: A site; None: the default one.
        influx: The store; None: the embedded one in `data`.
        rollups_only: Leave readings out.
        truth: Where the truth goes; None: nowhere.
        seed: Of weather, jobs and meters; None: the default.
    """

    data: Path
    start: str
    days: int
    site_file: Path | None = None
    influx: InfluxSpec | None = None
    rollups_only: bool = False
    truth: Path | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done.

    Attributes:
        site: The simulated site's file, read.
        site_file: Where it stands.
        span: The days.
        scene: The world.
        notes: What is assumed, or cannot be seen.
        campus_ratio: The part of the world's other loads that is no data center.
    """

    site: Site
    site_file: Path
    span: SimulatedSpan
    scene: Scene
    notes: tuple[str, ...]
    campus_ratio: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done.

    Attributes:
        figures: Of the whole span, out of the ledger.
        comparison: The ledger beside the truth.
        facts: What each process had to say.
    """

    figures: PeriodFigures
    comparison: Comparison
    facts: dict[str, dict[str, str | int | float | None]]


def plan(wish: Wish) -> Plan:
    """See what is to be done, and leave the site file; nothing else is written.

    Raises:
        SimulationProblem: it cannot be done as it stands.
        ConfigErrors: the site file is wrong.
        OSError: the folder cannot be written.
    """
    if wish.truth is not None:
        check_truth_file(wish.truth)
    document, site, derived = _given(wish)
    span = span_of(wish.start, wish.days, site.timezone)
    _check_folder(wish.data)
    check_site(site, span.start_ms)
    derived = derived or derive(site, span, 1 if wish.seed is None else wish.seed)
    wish.data.mkdir(parents=True, exist_ok=True)
    path = write_site_file(document, wish.data, wish.site_file)
    site = load_site(path)
    scene = Scene(site, derived.spec, span, derived.campus_ratio, raw=not wish.rollups_only)
    notes = (*derived.notes, *scene.notes())
    return Plan(site, path, span, scene, notes, derived.campus_ratio)


def _given(wish: Wish) -> tuple[dict[str, Any], Site, Derived | None]:
    """The site file's content and the site; of the default one its world, too."""
    if wish.site_file is not None:
        site = load_site(wish.site_file)
        return read_document(wish.site_file), site, None
    spec = load_spec(_DEFAULT)
    if wish.seed is not None:
        spec = spec.model_copy(update={"seed": wish.seed})
    return site_document(spec), _site_of(spec), Derived(spec, (), 0.0)


def _site_of(spec: TwinSpec) -> Site:
    return site_of(Document("site.yaml", dump_yaml(site_document(spec))))


def _check_folder(folder: Path) -> None:
    """Books are begun once: refuse a folder that holds any.

    Raises:
        SimulationProblem: it is in use.
    """
    advice = "choose another folder with --data, or remove this one"
    if folder.exists() and not folder.is_dir():
        raise SimulationProblem(f"--data: {folder} is a file, not a folder")
    note = folder / NOTE_FILE
    if note.exists() and _state(note) != "done":
        raise SimulationProblem(
            f"--data: {folder} holds a simulation that was stopped or still runs, and cannot be "
            f"continued: {advice}"
        )
    for name in ("ledger.db", "store", "books", "accountant", "collector"):
        if (folder / name).exists():
            whose = "of 'rackwatt up'" if name in {"accountant", "collector"} else "already"
            raise SimulationProblem(f"--data: {folder} holds books {whose} ({name}): {advice}")


def _state(note: Path) -> str:
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["state"])
    except (ValueError, KeyError):
        return "unreadable"


def _note(wish: Wish, state: str) -> None:
    content = {"state": state, "from": wish.start, "days": wish.days, "seed": wish.seed}
    (wish.data / NOTE_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


Tell = Callable[[str, int], None]
"""Who has got to which simulated time, ms."""


def carry_out(wish: Wish, made: Plan, tell: Tell) -> Outcome:
    """Simulate the days.

    Raises:
        SimulationFailed: a process could not go on.
        OSError: a file cannot be written.
        KeyboardInterrupt: someone stopped it; the folder cannot be continued.
    """
    span, scene = made.span, made.scene
    _note(wish, "running")
    truth = TruthFile(
        wish.truth,
        scene.motion.totals,
        scene.columns.contracts,
        scene.spec.battery.initial_wh,
        made.campus_ratio,
    )
    folders = Folders(wish.data, wish.influx)

    def done(message: Done) -> None:
        if message.who == BOOKS:
            tell(BOOKS, message.through_ms)

    items = scene.instruments.inventory(span.start_ms, span.end_ms)
    try:
        with Crew(made.site_file, folders, items, (span.start_ms, span.end_ms), done) as crew:
            crew.book(scene.opening())
            for start, end in span.hours():
                hour = scene.hour(start, end)
                truth.add(hour.minutes)
                crew.book(hour.booking)
                crew.fill(hour.filling)
                tell("world", end)
            facts = crew.finish()
    finally:
        truth.close()
    figures = figures_of(folders.ledger, made.site, span)
    _note(wish, "done")
    return Outcome(figures, compare(figures, truth.sums), facts)
