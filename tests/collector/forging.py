# SPDX-License-Identifier: Apache-2.0
"""What somebody can do to a ledger who has the file and knows how it is made."""

import sqlite3
from pathlib import Path

from rackwatt.collector.ledger.chain import GENESIS, entry_hash


def tamper(path: Path, *statements: str) -> None:
    forger = sqlite3.connect(path, isolation_level=None)
    forger.execute("DROP TRIGGER journal_no_update")
    forger.execute("DROP TRIGGER journal_no_delete")
    for statement in statements:
        assert forger.execute(statement).rowcount > 0
    forger.close()


def rebuild(path: Path) -> None:
    """Make every hash anew, as one who knows how it is done would."""
    forger = sqlite3.connect(path, isolation_level=None)
    rows = forger.execute(
        "SELECT seq, kind, start_ms, revision, cause, author, row FROM journal ORDER BY seq"
    ).fetchall()
    previous = GENESIS
    for seq, *entry in rows:
        kind, start, revision, cause, author, row = entry
        digest = entry_hash(kind, start, revision, cause, author, row, previous)
        forger.execute(
            "UPDATE journal SET previous = ?, hash = ? WHERE seq = ?", (previous, digest, seq)
        )
        previous = digest
    forger.close()


def without_bases(path: Path) -> None:
    """Make it a ledger of before the journal kept bases."""
    tamper(
        path,
        "DELETE FROM latest WHERE seq IN (SELECT seq FROM journal WHERE cause = 'basis')",
        "DELETE FROM journal WHERE cause = 'basis'",
        "UPDATE journal SET seq = -(SELECT count(*) FROM journal AS j WHERE j.seq <= journal.seq)",
        "UPDATE journal SET seq = -seq",
        "UPDATE latest SET seq = (SELECT j.seq FROM journal AS j WHERE j.kind = latest.kind"
        " AND j.start_ms = latest.start_ms ORDER BY revision DESC LIMIT 1)",
    )
    rebuild(path)
