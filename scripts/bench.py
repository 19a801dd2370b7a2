# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks one after the other: `make bench`, or `make bench ARGS="page scrape"`.

Each result is a line of JSON on standard output and a file in dist/bench/. What a benchmark says
while it runs goes to standard error. One that fails stops nobody; the exit code is 1 then.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[1]


def benchmarks() -> dict[str, Path]:
    """All of them by name."""
    return {file.stem: file for file in sorted((FOLDER / "benchmarks").glob("*.py"))}


def run(name: str, file: Path, out: Path) -> bool:
    """Run one; returns whether it gave a result."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    begin = time.monotonic()
    done = subprocess.run([sys.executable, str(file)], stdout=subprocess.PIPE, check=False)
    took = time.monotonic() - begin
    try:
        result = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        result = None
    if not isinstance(result, dict):
        print(f"{name}: failed after {took:.0f} s", file=sys.stderr)
        return False
    line = json.dumps({"benchmark": name, **result})
    (out / f"{name}.json").write_text(line + "\n", encoding="utf-8")
    print(line, flush=True)
    print(f"{name}: {took:.0f} s", file=sys.stderr)
    return True


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = benchmarks()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=FOLDER / "dist" / "bench", metavar="DIR")
    options = parser.parse_args()
    wrong = [name for name in options.names if name not in known]
    if wrong:
        parser.error(f"there is no benchmark {wrong[0]!r}; there are {', '.join(known)}")
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.names or list(known)
    good = [run(name, known[name], options.out) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
