# SPDX-License-Identifier: Apache-2.0
"""Whether a collector or an accountant answers: the health check of its container.

`python -m rackwatt.collector.healthy URL [CA_FILE]`; without arguments RACKWATT_HEALTH_URL and
RACKWATT_HEALTH_CA_FILE say them. Exit codes: 0 it answers 200, 1 it does not, 2 wrong usage.
The standard library alone: it runs every half minute, and the whole command costs ten times more.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

URL: Final = "RACKWATT_HEALTH_URL"
CA_FILE: Final = "RACKWATT_HEALTH_CA_FILE"
_SECONDS: Final = 5.0


def problem(url: str, ca_file: str | None) -> str | None:
    """What is wrong with the answer of an address; None: nothing."""
    try:
        context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
        # A proxy for the outer world is of no use on the loopback.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        with urllib.request.build_opener(*handlers).open(url, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(200).decode(errors="replace").strip()
        return f"{url}: {error.code} {said}"
    except OSError as error:  # a URLError, an SSLError and a missing file are some
        return f"{url}: {getattr(error, 'reason', None) or error}"


def main(arguments: Sequence[str]) -> int:
    """The program; returns its exit code."""
    given = [*arguments, *(os.environ.get(name, "") for name in (URL, CA_FILE)[len(arguments) :])]
    if len(given) != 2 or not given[0].startswith(("http://", "https://")):
        print(f"healthy: name the address of /healthz, or set {URL}", file=sys.stderr)
        return 2
    found = problem(given[0], given[1] or None)
    if found is not None:
        print(f"healthy: {found}", file=sys.stderr)
    return 0 if found is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
