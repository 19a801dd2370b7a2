# SPDX-License-Identifier: Apache-2.0
"""`scripts/soak`: the system for half an hour, with random faults. Exit codes: 0 holds, 1 not."""

import argparse
import asyncio
import contextlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from soak.faults import FAULTS
from soak.report import tables, write
from soak.runner import Settings, run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Runs broker, store, collector, accountant and agents, hurts them at random, "
        "and compares in the end what was sent with what is stored and booked.",
    )
    add = parser.add_argument
    add("--minutes", type=float, default=30.0, help="how long faults go on (default: 30)")
    add("--seed", type=int, help="makes the same faults again (default: another each time)")
    add("--rate", type=float, default=300.0, help="messages per second, about (default: 300)")
    add("--store", choices=("influx", "embedded"), default="influx", help="default: influx")
    add("--faults", metavar="KIND,…", help=f"only these of: {', '.join(FAULTS)}")
    add("--json", type=Path, metavar="FILE", help="write the result there")
    add("--folder", type=Path, metavar="DIR", help="keep logs and data there (default: a new "
        "temporary folder, which is kept when something is wrong)")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    kinds = options.faults.split(",") if options.faults else list(FAULTS)
    if unknown := set(kinds) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rackwatt-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    settings = Settings(
        seconds=options.minutes * 60, seed=seed, rate=options.rate, store=options.store,
        kinds=kinds,
    )  # fmt: skip
    say(f"soak of {options.minutes:g} minutes with --seed {seed}, logs in {folder}")
    try:
        result = run(settings, folder, say)
    except asyncio.CancelledError:
        say(f"ended before its time; logs and data are in {folder}")
        return 130
    say(tables(result))
    if options.json is not None:
        write(result, options.json)
    failures = result.failures()
    for failure in failures:
        say(f"WRONG  {failure}")
    for example in result.verdict.examples:
        say(f"       {example}")
    say("nothing lost, nothing changed" if not failures else f"{len(failures)} things are wrong")
    if not failures and options.folder is None:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return 1 if failures else 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
