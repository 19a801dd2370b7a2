# SPDX-License-Identifier: Apache-2.0
"""An agent's configuration file."""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from rackwatt.agents.rows import DeviceName
from rackwatt.agents.safety.courier import Identity
from rackwatt.agents.safety.settings import SafetySettings
from rackwatt.agents.safety.settings import misfits as safety_misfits
from rackwatt.agents.safety.watch import Safety, make_safety
from rackwatt.agents.source import Context, Source
from rackwatt.wire.config import (
    ByteSize,
    ConfigError,
    ConfigErrors,
    Document,
    Duration,
    load_document,
    nearest,
)
from rackwatt.wire.listening import MIN_TOKEN_LETTERS, is_token
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.topics import check_name

DRIVERS: Final = MappingProxyType(
    {
        "modbus": "rackwatt.agents.modbus",
        "snmp": "rackwatt.agents.snmp",
        "redfish": "rackwatt.agents.redfish",
        "bacnet": "rackwatt.agents.bacnet",
        "nvml": "rackwatt.agents.nvml",
        "host": "rackwatt.agents.host",
        "blueprint": "rackwatt.agents.blueprint",
    }
)
"""Source name to module. The module exports `Settings` and `create`; it is imported when used, so
that a GPU node needs no Modbus library. A mapping literal cannot hold a name twice."""

EXTRAS: Final = MappingProxyType(
    {
        "modbus": "modbus",
        "snmp": "snmp",
        "redfish": "redfish",
        "bacnet": "bacnet",
        "nvml": "nvml",
    }
)

_OF_NODES: Final = frozenset({"nvml", "host"})
"""Drivers of which every GPU node runs one."""

_BROKER_FILES: Final = ("password_file", "ca_file", "certificate_file", "key_file")
_SECRET_IN_URL: Final = re.compile(r"//[^/\s]*@")
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^:\s]+):([0-9]{1,5})")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSettings(_Strict):
    """Who the agent is and how often it reads and sends."""

    site: str
    hall: str = "site"
    """The hall as the site file names it; `site` for site-level devices."""
    name: str
    """Unique in the site; also the MQTT user name and client id."""
    sample_every: Duration = Field(default=1.0, ge=0.05, le=3600)
    send_every: Duration = Field(default=10.0, ge=0.05, le=3600)
    spread: bool | None = None
    """Send at a turn of its own, by its name; None: agents of GPU nodes do, of which there are tens
    of thousands, others do not."""
    node: DeviceName | None = None
    """The node that GPU and host readings belong to; default: the agent's name."""

    @field_validator("site", "hall", "name")
    @classmethod
    def _topic_part(cls, value: str) -> str:
        return check_name(value, "name")

    @model_validator(mode="after")
    def _cadence(self) -> "AgentSettings":
        ratio = self.send_every / self.sample_every
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise ValueError(
                f"send_every ({self.send_every:g} s) must be a whole multiple of "
                f"sample_every ({self.sample_every:g} s)"
            )
        return self


class OutboxSettings(_Strict):
    """The agent's durable queue."""

    path: Path = Path("outbox.db")
    keep: Duration = Field(default=86400.0, ge=60)
    max_bytes: ByteSize = Field(default=10**9, ge=10**5)


class MetricsSettings(_Strict):
    """The agent's own Prometheus metrics."""

    listen: str = "127.0.0.1:9101"
    """Address and port; keep it on loopback or on the monitoring network."""
    token_file: Path | None = None
    """Holds what a client must show; None: whoever reaches the address may read."""

    @field_validator("listen", mode="before")
    @classmethod
    def _address(cls, value: object) -> object:
        match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 1 <= int(match[2]) <= 65535:
            raise ValueError("expects address:port with a port of 1 to 65535, like 127.0.0.1:9101")
        return value


class Config(_Strict):
    """One agent, its driver's section left open."""

    agent: AgentSettings
    broker: BrokerSettings
    outbox: OutboxSettings = OutboxSettings()
    metrics: MetricsSettings | None = None
    safety: SafetySettings | None = None
    source: str

    @property
    def phase_ms(self) -> int:
        """So long after whole multiples of `send_every` messages go out: whole sampling turns.

        Clocks agree: without it all nodes of a campus would send in the same millisecond.
        """
        agent = self.agent
        if not (self.source in _OF_NODES if agent.spread is None else agent.spread):
            return 0
        turns = round(agent.send_every / agent.sample_every)
        return crc32(agent.name.encode()) % turns * round(agent.sample_every * 1000)


class Driver(Protocol):
    """What a driver's module exports.

    It may also export `misfits(document) -> Iterable[ConfigError]`: what no single key shows,
    such as a name that stands twice, or a map file that is not there. It gets the file as it was
    written, and speaks even where other keys are wrong.
    """

    Settings: type[BaseModel]

    def create(self, settings: Any, context: Context) -> Source:
        """Make the source; no I/O yet."""


class Loaded:
    """A configuration file that was read and found right."""

    def __init__(
        self, document: Document, config: Config, driver: Driver, section: BaseModel
    ) -> None:
        self.path = Path(document.file)
        self.document = document
        self.config = config
        self._driver = driver
        self._section = section
        self.context = Context(
            node=config.agent.node or config.agent.name, config_dir=self.path.resolve().parent
        )

    @property
    def outbox_path(self) -> Path:
        """Where the outbox lies; relative paths start at the configuration file."""
        return self.context.config_dir / self.config.outbox.path

    @property
    def metrics_token(self) -> str:
        """What a client of `/metrics` must show; empty: nothing."""
        settings = self.config.metrics
        if settings is None or settings.token_file is None:
            return ""
        return _token(self.context.config_dir / settings.token_file)

    def create_source(self) -> Source:
        """The source, not started."""
        return self._driver.create(self._section, self.context)

    def create_safety(self) -> Safety | None:
        """The safety class, not started; None: the file has none.

        Raises:
            OSError: the file of an Alertmanager's authority cannot be read.
        """
        if self.config.safety is None:
            return None
        agent = self.config.agent
        identity = Identity(agent.site, agent.hall, agent.name)
        return make_safety(self.config.safety, identity, self.context.config_dir, self.outbox_path)


def load_config(path: Path, name: str | None = None) -> Loaded:
    """Read an agent's configuration.

    Args:
        path: of the file.
        name: the agent's, in place of the file's: one file serves many nodes.

    Raises:
        ConfigErrors: with every violation and its line.
    """
    document = load_document(path)
    agent = document.data.get("agent")
    if name is not None and isinstance(agent, dict):
        agent["name"] = name
    errors: list[ConfigError] = []
    driver, name = _driver(document, errors)
    whole = _validated(document, driver, name, errors)
    errors += _foreign_sections(document, name)
    errors += _broker_misfits(document)
    errors += _metrics_misfits(document)
    errors += safety_misfits(document)
    misfits: Callable[[Document], Iterable[ConfigError]] | None = getattr(driver, "misfits", None)
    if misfits is not None:
        errors += misfits(document)
    if errors or whole is None or driver is None:
        raise ConfigErrors(errors)
    fields = {key: getattr(whole, key) for key in Config.model_fields}
    fields["broker"] = _with_full_paths(fields["broker"], path.resolve().parent)
    return Loaded(document, Config.model_construct(**fields), driver, getattr(whole, name))


def load_configs(paths: Iterable[Path], name: str | None = None) -> list[Loaded]:
    """Read the configurations of one process.

    Args:
        paths: of the files.
        name: see `load_config`; for one file only.

    Raises:
        ConfigErrors: of all files together, and what they only show side by side.
    """
    loaded: list[Loaded] = []
    errors: list[ConfigError] = []
    for path in paths:
        try:
            loaded.append(load_config(path, name))
        except ConfigErrors as wrong:
            errors += wrong.errors
    errors += _shared(loaded)
    if errors:
        raise ConfigErrors(errors)
    return loaded


def _shared(loaded: Iterable[Loaded]) -> Iterator[ConfigError]:
    """Two agents of one name take each other's session; of one outbox, each other's messages."""
    names: dict[tuple[str, str], Loaded] = {}
    outboxes: dict[Path, Loaded] = {}
    for item in loaded:
        agent = item.config.agent
        first = names.setdefault((agent.site, agent.name), item)
        if first is not item:
            text = f"agent '{agent.name}' is also in {first.path}"
            yield item.document.error(("agent", "name"), text)
        first = outboxes.setdefault(item.outbox_path.resolve(), item)
        if first is not item:
            text = f"{item.config.outbox.path} is also the outbox of {first.path}"
            yield item.document.error(("outbox", "path"), text, hint="each agent needs its own")


def _validated(
    document: Document, driver: Driver | None, name: str, errors: list[ConfigError]
) -> Config | None:
    """The file as a model; without a driver, only to find what else is wrong."""
    sections: dict[str, Any] = dict.fromkeys(DRIVERS, (Any, None))
    if driver is not None:
        sections[name] = (driver.Settings, ...)
    model: type[Config] = create_model("AgentFile", __base__=Config, **sections)
    try:
        return document.validate(model)
    except ConfigErrors as wrong:
        errors += [
            replace(item, message=_SECRET_IN_URL.sub("//…@", item.message))
            for item in wrong.errors
            if item.key != "source"  # said better before
        ]
        return None


def _foreign_sections(document: Document, name: str) -> Iterator[ConfigError]:
    for other in DRIVERS:
        if name in DRIVERS and other != name and other in document.data:
            yield document.error(
                (other,), f"belongs to source '{other}', but here the source is '{name}'"
            )


def _broker_misfits(document: Document) -> Iterator[ConfigError]:
    broker = document.data.get("broker")
    if not isinstance(broker, dict):
        return
    folder = Path(document.file).resolve().parent
    for key in _BROKER_FILES:
        name = broker.get(key)
        if isinstance(name, str) and not (folder / name).is_file():
            yield document.error(("broker", key), f"there is no file {folder / name}")
    url = broker.get("url")
    if isinstance(url, str) and not _port_fits(url):
        yield document.error(("broker", "url"), "the port must be a number from 1 to 65535")


def _metrics_misfits(document: Document) -> Iterator[ConfigError]:
    metrics = document.data.get("metrics")
    name = metrics.get("token_file") if isinstance(metrics, dict) else None
    if isinstance(name, str):
        path = Path(document.file).resolve().parent / name
        try:
            _token(path)
        except OSError as error:
            yield document.error(("metrics", "token_file"), str(error))


def _token(path: Path) -> str:
    """The token in a file.

    Raises:
        OSError: there is none.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise OSError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it holds no text"
        raise OSError(f"{path} cannot be read: {reason}") from None
    if not is_token(text):
        raise OSError(
            f"{path} must hold one line of at least {MIN_TOKEN_LETTERS} letters, digits and signs"
        )
    return text


def _port_fits(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # said by the model
    try:
        return parts.port != 0
    except ValueError:
        return False


def _with_full_paths(broker: BrokerSettings, folder: Path) -> BrokerSettings:
    """Like all paths in the file, those of the broker start where the file lies."""
    paths = {key: getattr(broker, key) for key in _BROKER_FILES}
    full = {key: folder / path for key, path in paths.items() if path is not None}
    return broker.model_copy(update=full)


def _driver(document: Document, errors: list[ConfigError]) -> tuple[Driver | None, str]:
    """The driver and its name; None when there is none, which is then among the errors."""
    key = ("source",)
    name = document.data.get("source")
    if name is None:
        errors.append(document.error(key, "is missing", hint=nearest("", DRIVERS)))
        return None, ""
    if not isinstance(name, str) or name not in DRIVERS:
        hint = nearest(str(name), DRIVERS)
        errors.append(document.error(key, f"unknown source {name!r}", hint=hint))
        return None, ""
    try:
        module: Any = importlib.import_module(DRIVERS[name])
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("rackwatt"):
            raise
        message = f"source {name!r} needs the Python package {error.name!r}"
        hint = f"pip install 'rackwatt[{EXTRAS.get(name, name)}]'"
        errors.append(document.error(key, message, hint=hint))
        return None, name
    driver: Driver = module
    return driver, name
