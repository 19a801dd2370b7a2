# SPDX-License-Identifier: Apache-2.0
"""`python -m rackwatt.twin`: a simulated site on loopback, for agents of your own."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from rackwatt.twin.faults import FaultError
from rackwatt.twin.kit import build
from rackwatt.twin.run import main as run_until_stopped
from rackwatt.twin.spec import load_spec
from rackwatt.wire.config import ConfigErrors


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rackwatt.twin", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the run")
    parser.add_argument("--scenario", default="default", help="demo, tetouan, or a .yaml file")
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883", help="for the agents' files")
    parser.add_argument("--speed", type=float, default=1.0, help="times the file's own speed")
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace) -> None:
    spec = load_spec(options.scenario)
    kit = build(spec, options.data, options.broker)
    print(f"site file   {kit.site_file}")
    print(f"agents      {len(kit.agent_files)} files in {kit.site_file.parent / 'agents'}")
    await run_until_stopped(spec, kit, speed=options.speed)


def main() -> int:
    """Build and run until Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_run(_parse(sys.argv[1:])))
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 2
    except (OSError, ValueError, FaultError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
