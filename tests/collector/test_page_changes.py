# SPDX-License-Identifier: Apache-2.0
"""From one frame to the next: what is left out comes back on the other side."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwatt.collector.live.page import changes as module
from rackwatt.collector.live.page.changes import changes, merged

VALUES = st.none() | st.integers(0, 3) | st.floats(0, 1) | st.sampled_from(["online", "offline"])
STREAM = Path(module.__file__).parent / "static" / "js" / "stream.js"


@st.composite
def two_frames(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    row = st.fixed_dictionaries(dict.fromkeys(fields, VALUES))
    frames = []
    for _ in range(2):
        frame: dict[str, Any] = {"time": draw(st.integers(0, 9)), "gpus": {"total": 1}}
        for table in draw(st.sets(st.sampled_from(["racks", "agents"]))):
            frame[table] = draw(st.lists(row, min_size=2, max_size=3))
        frames.append(frame)
    return frames[0], frames[1]


@given(two_frames())
def test_a_frame_is_the_one_before_and_what_changed(
    frames: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = frames
    change = changes(before, after)
    if change is not None:
        assert merged(before, change) == after
    else:
        tables = ("racks", "agents")
        assert any(len(before.get(t, ())) != len(after.get(t, ())) for t in tables)


def test_only_what_is_new_is_said() -> None:
    before = {"time": 1, "racks": [{"id": "a", "w": 1, "c": 2}, {"id": "b", "w": 1, "c": 2}]}
    after = {"time": 2, "racks": [{"id": "a", "w": 1, "c": 2}, {"id": "b", "w": 3, "c": 2}]}
    change = {"time": 2, "changed": {"racks": {"at": [1], "set": {"w": [3]}}}}
    assert changes(before, after) == change
    same = {"time": 2, "changed": {"racks": {"at": [], "set": {}}}}
    assert changes(before, {**before, "time": 2}) == same


@pytest.mark.parametrize(
    "racks",
    [
        [{"id": "a", "w": 1}],
        [{"id": "a", "w": 1}, {"id": "b", "w": 1}, {"id": "c", "w": 1}],
        [{"id": "a", "w": 1}, {"id": "b", "v": 1}],
        None,
    ],
)
def test_other_rows_or_fields_want_the_whole_frame(racks: list[dict[str, Any]] | None) -> None:
    before = {"racks": [{"id": "a", "w": 1}, {"id": "b", "w": 1}]}
    assert changes(before, {"racks": racks}) is None
    assert changes(before, {}) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_browser_puts_it_together_the_same_way() -> None:
    before = {"time": 1, "racks": [{"id": "a", "w": 1, "c": 2}, {"id": "b", "w": 1, "c": None}]}
    after = {"time": 2, "racks": [{"id": "a", "w": 1, "c": 3}, {"id": "b", "w": None, "c": 2}]}
    change = json.dumps(changes(before, after))
    program = (
        f"import {{ merge }} from {json.dumps(STREAM.as_uri())};"
        f"const before = {json.dumps(before)};"
        f"console.log(JSON.stringify([merge(before, {change}), before]))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [after, before]
