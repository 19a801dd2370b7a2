# SPDX-License-Identifier: Apache-2.0
"""The `safety:` section: what is right, and what is named when it is wrong."""

from pathlib import Path

import pytest

from rackwatt.agents.safety.limits import RULES
from rackwatt.agents.safety.rules import MEANINGS
from rackwatt.agents.settings import load_config
from rackwatt.wire.config import ConfigErrors

GOOD = """\
agent: {site: demo, hall: hall-a, name: cdus, sample_every: 1s, send_every: 10s}
broker: {url: "mqtt://127.0.0.1:1883"}
source: modbus
modbus:
  retry_cap: 5s
  devices:
    - {device: cdu-a1, map: blueprint-cdu, host: 192.0.2.15}
    - {device: cdu-a2, map: blueprint-cdu, host: 192.0.2.16}
safety:
  alertmanagers:
    - {url: "http://192.0.2.50:9093"}
    - {url: "https://am.example.org/alerts/", username: rackwatt, password_file: word}
  limits: {supply_above_kelvin: 4}
  loops:
    - device: cdu-a1
      set_point_celsius: 32
      pumps_installed: 2
      pumps_needed: 1
      dew_point: {celsius: 17}
      limits: {level_low_ratio: 0.6}
    - {device: cdu-a2, rules: [leak, level], operator_reset: []}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "word").write_text("secret\n", encoding="utf-8")
    path = folder / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, GOOD))
    safety = loaded.config.safety
    assert safety is not None
    first, second = safety.watched()
    assert first.rules == RULES
    assert first.operator_reset == {"leak"}
    assert (first.limits.supply_above_kelvin, first.limits.level_low_ratio) == (4, 0.6)
    assert (second.limits.supply_above_kelvin, second.limits.level_low_ratio) == (4, 0.5)
    assert second.rules == ("leak", "level")
    assert second.operator_reset == frozenset()
    made = loaded.create_safety()
    assert made is not None
    assert [courier.name for courier in made.couriers] == [
        "http://192.0.2.50:9093", "https://am.example.org/alerts",
    ]  # fmt: skip


def test_without_the_section_there_is_none(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, GOOD[: GOOD.index("safety:")]))
    assert loaded.create_safety() is None


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("loops:", "lops:", 14, "did you mean 'loops'?"),
        ("device: cdu-a1\n", "device: cdu-b1\n", 15, "no device 'cdu-b1' (did you mean 'cdu-"),
        ("{device: cdu-a2, rules", "{device: cdu-a1, rules", 21, "stands twice: see line 15"),
        ("[leak, level]", "[leek, level]", 21, "did you mean 'leak'?"),
        ("[leak, level]", "[]", 21, "at least one is needed"),
        ("[leak, level]", "[pumps]", 21, "pumps needs pumps_needed; or list under rules"),
        ("set_point_celsius: 32", "set_point_celsius: 32C", 16, "write the number alone"),
        ("set_point_celsius: 32", "set_point_celsius: 305", 16, "looks like kelvin: write 31.85"),
        ("set_point_celsius: 32", "set_point_celsius: 95", 16, "no temperature of a coolant"),
        ("      set_point_celsius: 32\n", "", 15, "supply_temperature needs set_point_celsius"),
        ("pumps_installed: 2", "pumps_installed: 1", 15, "there is no N+1 to watch"),
        ("      pumps_installed: 2\n", "", 15, "pump_redundancy needs pumps_installed too"),
        ("level_low_ratio: 0.6", "level_low_ratio: 60", 20, "60 % is 0.6"),
        ("level_low_ratio: 0.6", "level_low: 0.6", 20, "did you mean 'level_low_ratio'?"),
        ("level_low_ratio: 0.6", "pressure_fall_ratio: 0.05", 20, "pressure_recovered_ratio must"),
        ("supply_above_kelvin: 4", "supply_above_kelvin: 4 K", 13, "write the number alone"),
        ("supply_above_kelvin: 4", "pressure_recovered_ratio: 0.2", 13, "must be less than"),
        ("dew_point: {celsius: 17}", "dew_point: {}", 19, "name devices, or state celsius"),
        ("dew_point: {celsius: 17}", "dew_point: {devices: [cdu-x]}", 19, "no device 'cdu-x'"),
        ('"http://192.0.2.50:9093"', '"192.0.2.50:9093"', 11, "http://host:port"),
        ('"http://192.0.2.50:9093"', '"http://a/api/v2"', 11, "without /api/v2"),
        ('"http://192.0.2.50:9093"', '"http://u:hunter@a"', 11, "no user or password"),
        ("https://am", "http://am", 12, "a secret over http://"),
        ("username: rackwatt, ", "", 12, "belong together"),
        ("password_file: word", "password_file: wrd", 12, "there is no file"),
        ("sample_every: 1s", "sample_every: 2s", 1, "at least every second"),
        ("  retry_cap: 5s\n", "", 4, "write retry_cap: 5s"),
        ("retry_cap: 5s", "retry_cap: 1min", 5, "not in 60 s"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert GOOD.count(old) == 1
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigErrors) as caught:
        load_config(path)
    found = [str(error).removeprefix(f"{path}:") for error in caught.value.errors]
    assert any(e.startswith(f"{line}:") and words in e for e in found), found
    assert "hunter" not in str(caught.value)


def test_limits_that_are_wrong_only_together_are_named(tmp_path: Path) -> None:
    text = GOOD.replace("supply_above_kelvin: 4", "pressure_fall_ratio: 0.3").replace(
        "level_low_ratio: 0.6", "pressure_recovered_ratio: 0.13"
    )
    load_config(write(tmp_path, text))
    text = text.replace("pressure_fall_ratio: 0.3", "pressure_fall_ratio: 0.12")
    with pytest.raises(ConfigErrors, match=r"safety\.loops\[0\]\.limits: with safety\.limits"):
        load_config(write(tmp_path, text))


def test_the_pages_example_is_right_and_the_page_names_every_rule(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    loaded = load_config(write(tmp_path, example))
    assert loaded.config.safety is not None
    loaded.create_source()
    for rule, meaning in MEANINGS.items():
        assert f"| `{rule}`, `{meaning.name}` |" in page, rule
