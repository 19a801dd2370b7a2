# SPDX-License-Identifier: Apache-2.0
"""The example in docs/chains.md is one that `site check` takes."""

import re
from pathlib import Path

from rackwatt.collector.site.loader import load_site

HEAD = """site: {id: demo, name: x, timezone: Africa/Casablanca, country: MA}
meters:
  - {id: it, role: it, position: pdu_output, sum: ["r1-[01-08]-pdu-[a-b]"]}
  - {id: grid-1, role: grid, class: 0.5}
halls:
  - id: hall-a
    rows: [{id: row-1, racks: "r1-[01-08]", nodes: "{rack}-n[1-2]", pdus: "{rack}-pdu-[a-b]"}]
    devices: [cdu-a1]
"""


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    text = Path("docs/chains.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example
    file = tmp_path / "site.yaml"
    file.write_text(HEAD + example[1], encoding="utf-8")
    site = load_site(file)
    assert len(site.chains.power.edges) == 2 + 2 + 2 + 16 + 16
    assert site.chains.needed == {"ups": 1, "chillers": 2}
    assert site.chains.power.side(site.chains.power.into("r1-01-pdu-b")[0]) == "B"
