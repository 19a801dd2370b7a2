# SPDX-License-Identifier: Apache-2.0
"""The dashboards as Grafana's own types of 11.3 see them: `@grafana/schema`, read by `tsc`.

They check the frame of a dashboard, not the options of a panel's kind, and nothing of queries.
"""

import hashlib
import json
import subprocess
from pathlib import Path

from rackwatt.dashboards.editions import parsed
from servers.programs import influxd_path, require

HERE = Path(__file__).parent / "types"
HEAD = """import type { Dashboard } from "@grafana/schema";
type J<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer U)[] ? J<U>[]
  : T extends object ? { [K in keyof T]: J<T[K]> } : T;
"""


def folder() -> Path:
    """Where `scripts/install-servers` puts the types."""
    key = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    return influxd_path().parents[1] / f"types-{key}"


def checked(path: Path, boards: list[dict[str, object]]) -> str:
    """What the compiler complains about."""
    parts = [
        f"export const d{number}: J<Dashboard> = {json.dumps(board, ensure_ascii=False)};"
        for number, board in enumerate(boards)
    ]
    (path / "boards.ts").write_text(HEAD + "\n".join(parts), encoding="utf-8")
    (path / "node_modules").symlink_to(folder() / "node_modules")
    command = [
        *(str(require(str(folder() / "node_modules/.bin/tsc"))), "--noEmit", "--strict"),
        *("--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"),
        *("--target", "es2022", "boards.ts"),
    ]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_frame_is_grafanas(tmp_path: Path) -> None:
    boards = []
    for board in parsed().values():
        for marks in board["annotations"]["list"]:
            # The type knows only what all data sources share.
            if "target" in marks:
                marks["target"] = {"refId": marks["target"]["refId"]}
        boards.append(board)
    assert checked(tmp_path, boards) == ""


def test_the_types_find_faults(tmp_path: Path) -> None:
    board = next(iter(parsed().values()))
    board["annotations"]["list"].clear()
    board["panels"][1]["gridPos"]["w"] = "six"
    board["templating"]["list"][0]["type"] = "quarry"
    said = checked(tmp_path, [board])
    assert said.count("error TS") >= 1
    assert "quarry" in said or "six" in said or "string" in said
