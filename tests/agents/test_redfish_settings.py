# SPDX-License-Identifier: Apache-2.0
"""The `redfish:` section: the example, the page, and what is wrong in a file."""

import re
from pathlib import Path

import pytest

from rackwatt.agents import redfish
from rackwatt.agents.redfish.settings import Credentials, DeviceRow, MissingSecret, resolve
from rackwatt.agents.settings import load_config
from rackwatt.wire.config import ConfigErrors

FOLDER = Path(redfish.__file__).parent
EXAMPLE = (FOLDER / "example.yaml").read_text()


def test_the_readme_names_every_option() -> None:
    text = (FOLDER / "README.md").read_text()
    for model in (redfish.Settings, DeviceRow, Credentials):
        for name, info in model.model_fields.items():
            assert f"`{info.alias or name}`" in text, name
    for name in redfish.shipped_maps():
        assert f"`{name}`" in text


def test_no_password_shows(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(" a secret \n")
    secret = resolve(Credentials(user="u", password_file=Path("p")), tmp_path)
    assert secret.password == " a secret "
    assert "secret" not in repr(secret).replace("Secret", "")
    by_name = Credentials(user="u", password_env="BMC")
    assert resolve(by_name, tmp_path, {"BMC": "x"}).password == "x"
    with pytest.raises(MissingSecret, match="environment variable BMC is empty or not set"):
        resolve(by_name, tmp_path, {})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("map: plain", "map: plian", "unknown map (did you mean 'plain'?)"),
        ("credentials: rack}", "credentials: rck}", "no credentials 'rck' (did you mean 'rack'?)"),
        ("https://192.0.2.31", "http://192.0.2.31", "write https://"),
        ("https://192.0.2.31", "https://u:p@192.0.2.31", "no user or password in the URL"),
        ("https://192.0.2.31", "https://192.0.2.31/redfish/v1", "write it without /redfish/v1"),
        ("https://192.0.2.31", "192.0.2.31", "a service's address is https://host"),
        ("device: login-1", "device: r1-01", "device 'r1-01' stands twice"),
        ("map: plain", "map: plain, with: [gpus]", "'gpus' is no optional part of the map 'plain'"),
        ("map: nvl72-rack", "map: nvl72-rack, with: [gpu]", "did you mean 'gpus'"),
        ("timeout: 3s", "every: {shelfs: 1s}", "no part of that name in the maps"),
        ("map: plain", "map: plain, check_name: false", "check_name: false needs ca_file"),
        ("map: plain", "map: plain, ca_file: no.pem", "there is no file"),
        ("map: plain", "map: own.yaml", "there is no map file"),
        ("password_file: secrets/redfish-rack", "password: x", "unknown key"),
        ("retry_cap: 5s", "retry_cap: 100ms", "retry_cap must not be less than retry_first"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in EXAMPLE
    path = tmp_path / "agent.yaml"
    path.write_text(EXAMPLE.replace(old, new, 1))
    with pytest.raises(ConfigErrors) as caught:
        load_config(path)
    assert words in str(caught.value), str(caught.value)
    assert "u:p@" not in str(caught.value)


SAFETY = """
safety:
  alertmanagers: [{url: "http://127.0.0.1:9093"}]
  loops: [{device: r1-01-leak, rules: [leak]}]
"""


def test_safety_knows_the_devices_of_a_service_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(EXAMPLE + SAFETY)
    assert load_config(path).config.safety is not None
    path.write_text(EXAMPLE.replace("retry_cap: 5s", "retry_cap: 30s") + SAFETY)
    with pytest.raises(ConfigErrors, match="a device that was gone must be seen again soon"):
        load_config(path)


def test_the_table_of_faults_is_the_fakes() -> None:
    from rackwatt.twin.servers import redfish as fake

    assert set(re.findall(r"^\| `(\w+)` \|", fake.__doc__ or "", re.MULTILINE)) == fake.FAULTS
