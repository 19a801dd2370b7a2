# SPDX-License-Identifier: Apache-2.0
"""Says which dependency has a licence that we have not allowed (exit code 1); see docs/security.md.

Allowed is what lets anybody use, change and pass on Rackwatt under Apache-2.0: permissive licences,
and those whose copyleft ends at the file or at the library (MPL, LGPL).
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from dependencies import Dependency, page, python
from license_expression import ExpressionError, get_spdx_licensing

ALLOWED: Final = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "CC0-1.0", "ISC",
        "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0",
        "MPL-2.0", "OFL-1.1", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip
# Never part of what is passed on: tests and tools import them, nothing else may.
TOOLS_ONLY: Final[Mapping[str, str]] = {
    "async-solipsism": "GPL-3.0-or-later; a virtual clock for tests"
}
_SPDX: Final = get_spdx_licensing()


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression leaves us a choice that is allowed.

    Raises:
        ExpressionError: it is none.
    """
    return _holds(_SPDX.parse(expression, validate=True, strict=True))


def _holds(parsed: Any) -> bool:
    if isinstance(parsed, _SPDX.OR):
        return any(map(_holds, parsed.args))
    if isinstance(parsed, _SPDX.AND):
        return all(map(_holds, parsed.args))
    return str(parsed) in ALLOWED


def problems(shipped: Iterable[Dependency], tools: Iterable[Dependency]) -> Iterator[str]:
    """What is wrong, a line each, with what to do.

    Args:
        shipped: what is installed with Rackwatt.
        tools: what is only there to build and test it.
    """
    for found, is_tool in [*((d, False) for d in shipped), *((d, True) for d in tools)]:
        if is_tool and found.name in TOOLS_ONLY:
            continue
        name = f"{found.name} {found.version} ({found.ecosystem})"
        if not found.licence:
            yield (
                f"{name}: its metadata name no licence. Read the one it brings, and write it "
                "into _READ_BY_HAND of scripts/dependencies.py"
            )
            continue
        try:
            allowed = is_allowed(found.licence)
        except ExpressionError:
            yield (
                f"{name}: {found.licence!r} is no SPDX expression. Read the licence, and write "
                "what it is into _ALIASES of scripts/dependencies.py"
            )
            continue
        if not allowed:
            yield (
                f"{name}: {found.licence} is not on the list. Replace it, or have the licence "
                "looked at and add it to ALLOWED of scripts/licences.py"
            )


def main() -> int:
    """Check what is installed."""
    shipped = python("all")
    tools = {name: d for name, d in python("all", "dev").items() if name not in shipped}
    found = list(problems([*shipped.values(), *page().values()], tools.values()))
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"licences: {len(shipped) + len(tools) + len(page())} dependencies, all allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
