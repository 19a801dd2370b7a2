# SPDX-License-Identifier: Apache-2.0
"""The short-lived process that imports pvlib and windpowerlib, so that the twin need not.

Standard input: `{"spec": …, "days": ["2026-06-21", …]}`; first argument: where the files go.
"""

import json
import sys
from datetime import date
from pathlib import Path

from rackwatt.twin.spec import TwinSpec
from rackwatt.twin.world.almanac import write_days


def main() -> None:
    """Compute what is asked for and end."""
    request = json.load(sys.stdin)
    days = [date.fromisoformat(text) for text in request["days"]]
    write_days(TwinSpec.model_validate(request["spec"]), Path(sys.argv[1]), days)


if __name__ == "__main__":
    main()
