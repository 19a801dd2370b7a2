# SPDX-License-Identifier: Apache-2.0
"""An agent's configuration file."""

import importlib
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from rackwatt.agents.source import Context, Source
from rackwatt.wire.config import ByteSize, ConfigErrors, Document, Duration, load_document, nearest
from rackwatt.wire.session import BrokerSettings
from rackwatt.wire.topics import check_name

DRIVERS: Final = MappingProxyType(
    {
        "modbus": "rackwatt.agents.modbus",
        "snmp": "rackwatt.agents.snmp",
        "nvml": "rackwatt.agents.nvml",
        "host": "rackwatt.agents.host",
        "blueprint": "rackwatt.agents.blueprint",
    }
)
"""Source name to module. The module exports `Settings` and `create`; it is imported when used, so
that a GPU node needs no Modbus library. A mapping literal cannot hold a name twice."""

EXTRAS: Final = MappingProxyType({"modbus": "modbus", "snmp": "snmp", "nvml": "nvml"})


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
    node: str | None = None
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

    listen: str = Field(pattern=r"^[^:\s]+:\d{1,5}$")
    """Address and port; keep it on loopback or on the monitoring network."""


class Config(_Strict):
    """One agent, its driver's section left open."""

    agent: AgentSettings
    broker: BrokerSettings
    outbox: OutboxSettings = OutboxSettings()
    metrics: MetricsSettings | None = None
    source: str


class Driver(Protocol):
    """What a driver's module exports."""

    Settings: type[BaseModel]

    def create(self, settings: Any, context: Context) -> Source:
        """Make the source; no I/O yet."""


class Loaded:
    """A configuration file that was read and found right."""

    def __init__(self, path: Path, config: Config, driver: Driver, section: BaseModel) -> None:
        self.path = path
        self.config = config
        self._driver = driver
        self._section = section
        self.context = Context(
            node=config.agent.node or config.agent.name, config_dir=path.resolve().parent
        )

    @property
    def outbox_path(self) -> Path:
        """Where the outbox lies; relative paths start at the configuration file."""
        return self.context.config_dir / self.config.outbox.path

    def create_source(self) -> Source:
        """The source, not started."""
        return self._driver.create(self._section, self.context)


def load_config(path: Path) -> Loaded:
    """Read an agent's configuration.

    Raises:
        ConfigErrors: with every violation and its line.
    """
    document = load_document(path)
    driver = _driver(document)
    name = str(document.data["source"])
    model = create_model("AgentFile", __base__=Config, **{name: (driver.Settings, ...)})  # type: ignore[call-overload]
    whole = document.validate(model)
    section = getattr(whole, name)
    fields = {key: getattr(whole, key) for key in Config.model_fields}
    return Loaded(path, Config.model_construct(**fields), driver, section)


def _driver(document: Document) -> Driver:
    name = document.data.get("source")
    if name is None:
        raise ConfigErrors([document.error(("source",), "is missing", hint=nearest("", DRIVERS))])
    if not isinstance(name, str) or name not in DRIVERS:
        hint = nearest(str(name), DRIVERS)
        raise ConfigErrors([document.error(("source",), f"unknown source {name!r}", hint=hint)])
    try:
        module: Any = importlib.import_module(DRIVERS[name])
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("rackwatt"):
            raise
        message = f"source {name!r} needs the Python package {error.name!r}"
        hint = f"pip install 'rackwatt[{EXTRAS.get(name, name)}]'"
        raise ConfigErrors([document.error(("source",), message, hint=hint)]) from error
    driver: Driver = module
    return driver
