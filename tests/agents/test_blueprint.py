# SPDX-License-Identifier: Apache-2.0
"""The skeleton against real sockets: an answer, an error, silence, nonsense, a dropped line."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rackwatt.agents import blueprint
from rackwatt.agents.blueprint import Settings, create, device
from rackwatt.agents.blueprint.protocol import POINTS, DeviceError, decode, parse
from rackwatt.agents.settings import load_config
from rackwatt.agents.source import Context
from rackwatt.wire.codec import reading_of
from rackwatt.wire.config import ConfigErrors
from rackwatt.wire.readings import FIELDS, Quality

FOLDER = Path(blueprint.__file__).parent
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[int]:
    """A device on a free port of loopback."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing until the client has gone."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


def source_of(*ports: int, timeout: float = 5.0) -> tuple[Any, Context]:
    context = Context(node="n1")
    devices = [{"name": f"air-{n}", "host": "127.0.0.1", "port": p} for n, p in enumerate(ports)]
    settings = Settings.model_validate({"devices": devices, "timeout": timeout})
    return create(settings, context), context


async def test_a_device_is_read_and_converted() -> None:
    async with served(saying(b"temperature=21.5 humidity=45.0\n")) as port:
        source, context = source_of(port)
        await source.start()
        (sample,) = await source.sample()
        await source.aclose()
    assert (sample.kind, sample.device) == ("climate", "air-0")
    assert sample.values == {"temperature_celsius": 21.5, "humidity_ratio": 0.45}
    assert sample.quality == {}
    assert sum(context.errors.counts.values()) == 0
    reading_of(sample, 1)


@pytest.mark.parametrize(
    ("answer", "quality"),
    [
        (b"ERR sensor broken\n", Quality.EXCEPTION),
        (b"ERR\n", Quality.EXCEPTION),
        (b"temperature is fine\n", Quality.EXCEPTION),
        (b"temperature=warm humidity=wet\n", Quality.EXCEPTION),
        (b"temperature=21.5 humidity=45", Quality.EXCEPTION),  # hangs up within the line
        (b"", Quality.EXCEPTION),
        (b"\n", Quality.EXCEPTION),
        (b"\xff\xfe\n", Quality.EXCEPTION),
        (b"x" * 5000 + b"\n", Quality.EXCEPTION),
        (b"temperature=9999 humidity=-1\n", Quality.OUT_OF_RANGE),
        (b"temperature=nan humidity=inf\n", Quality.OUT_OF_RANGE),
        (b"pressure=1\n", Quality.NOT_SUPPORTED),
    ],
)
async def test_what_cannot_be_read_is_null_and_the_others_go_on(
    answer: bytes, quality: Quality
) -> None:
    async with (
        served(saying(answer)) as bad,
        served(saying(b"temperature=20 humidity=50\n")) as good,
    ):
        source, context = source_of(bad, good)
        failed, fine = await source.sample()
        rows = await source.probe()
    assert set(failed.values.values()) == {None}
    assert set(failed.quality.values()) == {quality}
    assert fine.values == {"temperature_celsius": 20.0, "humidity_ratio": 0.5}
    assert context.errors.counts[quality] == (0 if quality is Quality.NOT_SUPPORTED else 2)
    assert [row.quality for row in rows] == [quality, quality, None, None]
    reading_of(failed, 1)


async def test_silence_times_out_and_does_not_hold_up_the_others() -> None:
    async with served(silent) as mute, served(saying(b"temperature=20 humidity=50\n")) as good:
        source, context = source_of(mute, good, timeout=0.2)
        failed, fine = await source.sample()
    assert set(failed.quality.values()) == {Quality.TIMEOUT}
    assert fine.quality == {}
    assert context.errors.counts[Quality.TIMEOUT] == 2


async def test_a_device_that_is_not_there_is_logged_once_and_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(saying(b"temperature=20 humidity=50\n")) as port:
        pass
    source, _ = source_of(port)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            (sample,) = await source.sample()
            assert set(sample.quality.values()) == {Quality.EXCEPTION}
        assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
        server = await asyncio.start_server(
            saying(b"temperature=20 humidity=50\n"), "127.0.0.1", port
        )
        (sample,) = await source.sample()
        server.close()
    assert sample.quality == {}
    assert "air-0 answers again" in caplog.text


async def test_cancelling_a_round_passes_through() -> None:
    async with served(silent) as mute:
        source, _ = source_of(mute)
        task = asyncio.create_task(source.sample(), name="round")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_made_up_device_speaks_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    task = asyncio.create_task(device.serve(0), name="device")
    text = ""
    while not text:
        await asyncio.sleep(0)
        text = capsys.readouterr().out
    source, _ = source_of(int(text.rsplit(":", 1)[1]))
    (sample,) = await source.sample()
    (row, _) = await source.probe()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sample.quality == {}
    assert row.raw.endswith(" °C")
    assert row.value is not None


# pure parts


@given(st.floats(-90, 150), st.floats(0, 100))
def test_every_valid_answer_is_decoded(celsius: float, percent: float) -> None:
    raws = parse(f"temperature={celsius!r} humidity={percent!r}")
    assert decode(POINTS["temperature"], raws["temperature"]) == (celsius, None)
    ratio, quality = decode(POINTS["humidity"], raws["humidity"])
    assert ratio == pytest.approx(percent / 100)
    assert quality is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(line: str) -> None:
    try:
        raws = parse(line)
    except (DeviceError, ValueError):
        return
    for point in POINTS.values():
        value, quality = decode(point, raws.get("temperature"))
        assert (value is None) == (quality is not None)


def test_the_points_are_fields_of_the_contract() -> None:
    assert {point.field for point in POINTS.values()} <= set(FIELDS["climate"])


def test_the_example_is_a_valid_configuration() -> None:
    loaded = load_config(FOLDER / "example.yaml")
    names = [item.device for item in loaded.create_source().inventory()]
    assert names == ["hall-a-air-1", "hall-a-air-2"]


def test_the_readme_lists_every_option() -> None:
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(Settings.model_fields)


def test_a_misspelt_option_is_named_with_its_line(tmp_path: Path) -> None:
    text = (FOLDER / "example.yaml").read_text().replace("timeout:", "timeuot:")
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    line = 1 + text.splitlines().index(next(x for x in text.splitlines() if "timeuot" in x))
    with pytest.raises(ConfigErrors, match=rf"agent\.yaml:{line}: .*did you mean 'timeout'"):
        load_config(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": []},
        {"devices": [{"name": "a", "host": "h", "port": 0}]},
        {"devices": [{"name": "a", "host": "h", "port": 1}], "timeout": 0},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)
