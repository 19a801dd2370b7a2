# SPDX-License-Identifier: Apache-2.0
"""What ingest has done since the spool was made; the totals go on after a restart."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rackwatt.wire.codec import Reason

REJECTED: Final = "rejected "
REFUSED: Final = f"{REJECTED}{Reason.REFUSED_BY_STORE}"
"""The store's, not ingest's."""
_MESSAGES: Final = "messages "
_DUPLICATES: Final = "duplicates"
_RECOVERED: Final = "recovered"


@dataclass(slots=True)
class Counts:
    """What ingest has done."""

    messages: Counter[str] = field(default_factory=Counter)
    rejected: Counter[Reason] = field(default_factory=Counter)
    duplicates: int = 0
    recovered: int = 0

    @staticmethod
    def of(tallies: Mapping[str, int]) -> "Counts":
        """As the spool remembers them."""
        counts = Counts(
            duplicates=tallies.get(_DUPLICATES, 0), recovered=tallies.get(_RECOVERED, 0)
        )
        known = {f"{REJECTED}{reason}": reason for reason in Reason}
        for name, count in tallies.items():
            if name.startswith(_MESSAGES):
                counts.messages[name.removeprefix(_MESSAGES)] = count
            elif name in known and name != REFUSED:
                counts.rejected[known[name]] = count
        return counts

    def tallies(self) -> dict[str, int]:
        """For the spool."""
        return {
            **{f"{_MESSAGES}{kind}": count for kind, count in self.messages.items()},
            **{f"{REJECTED}{reason}": count for reason, count in self.rejected.items()},
            _DUPLICATES: self.duplicates,
            _RECOVERED: self.recovered,
        }
