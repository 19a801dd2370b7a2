# SPDX-License-Identifier: Apache-2.0
"""systemd units of our programs: one text, hardened, for agents and collectors alike.

Sources: systemd.exec(5), systemd.service(5) of systemd 252; 247 is enough. A unit depends
on nothing of the machine that it is made on but the paths that were told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_letters, digits
from typing import Final

STATE: Final = Path("/var/lib")
"""Where `StateDirectory=` lies."""
HIDDEN: Final = tuple(
    Path(name)
    for name in ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
)
"""What a unit cannot see (`ProtectHome=`, `PrivateTmp=`)."""
_PLAIN: Final = frozenset(f"{ascii_letters}{digits}-_./:=@,+~")


class UnitError(Exception):
    """What a person must change, in a sentence."""


class Credential(str):
    """A word of a command that names a credential: its file, where the service finds it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """A service."""

    name: str
    """Without `.service`."""
    description: str
    made_by: str
    """The command that makes it, as a person types it."""
    command: Sequence[str]
    """Absolute program and arguments; `Credential` where a credential's file is meant."""
    user: str | None = None
    """A system user that owns its files; None: one that systemd makes up (`DynamicUser=`)."""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    """Files that root reads and the service is given."""
    devices: bool = False
    """It loads a driver's library and opens its devices."""
    whole_proc: bool = False
    """It reads `/proc` beyond processes."""
    open_files: int = 1024
    steps: Sequence[str] = ()
    """What a person does before it is started."""

    @property
    def state(self) -> Path:
        """The folder that it may write to."""
        return STATE / self.name


def seen(path: Path, what: str) -> Path:
    """`path` as an absolute one that a unit can see.

    Raises:
        UnitError: the unit could not see it.
    """
    full = path.absolute()
    for hidden in HIDDEN:
        if full.is_relative_to(hidden):
            raise UnitError(
                f"{what}: {full} cannot be seen by the service, which has no {hidden}: "
                "put it below /etc/rackwatt, a program below /opt/rackwatt"
            )
    return full


def text(unit: Unit) -> str:
    """The unit's file."""
    head = [
        f"# Made by '{unit.made_by}'. To install it:",
        *(f"#   {step}" for step in unit.steps),
        f"#   cp {unit.name}.service /etc/systemd/system/ && systemctl daemon-reload",
        f"#   systemctl enable --now {unit.name}",
    ]
    parts = [
        head,
        ["[Unit]", f"Description={_specifiers(unit.description)}",
         "Wants=network-online.target", "After=network-online.target time-sync.target"],
        ["[Service]", *_service(unit), "", *_hardening(unit)],
        ["[Install]", "WantedBy=multi-user.target"],
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _service(unit: Unit) -> list[str]:
    who = ["DynamicUser=yes"] if unit.user is None else [f"User={unit.user}"]
    return [
        "Type=exec",
        f"ExecStart={' '.join(map(_word, unit.command))}",
        *who,
        f"StateDirectory={unit.name}",
        "StateDirectoryMode=0750",
        f"WorkingDirectory={unit.state}",
        *(f"LoadCredential={name}:{path}" for name, path in unit.credentials.items()),
        "Restart=on-failure",
        "RestartSec=5s",
        "# Wrong input or usage: the journal says what a person must change.",
        "RestartPreventExitStatus=2",
        "TimeoutStopSec=60s",
        f"LimitNOFILE={unit.open_files}",
        "UMask=0077",
    ]


def _hardening(unit: Unit) -> list[str]:
    lines = [
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        *(f"Protect{what}=yes" for what in ("Home", "Clock", "ControlGroups", "Hostname")),
        *(f"ProtectKernel{what}=yes" for what in ("Logs", "Modules", "Tunables")),
        "ProtectProc=invisible",
        "PrivateTmp=yes",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "LockPersonality=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "SystemCallErrorNumber=EPERM",
    ]
    if not unit.whole_proc:
        lines.append("ProcSubset=pid")
    if unit.devices:
        lines.append("# No PrivateDevices, MemoryDenyWriteExecute: it opens the driver's devices.")
    else:
        lines += ["PrivateDevices=yes", "PrivateUsers=yes", "MemoryDenyWriteExecute=yes"]
    return lines


def _specifiers(words: str) -> str:
    return words.replace("%", "%%")


def _word(word: str) -> str:
    """One word of `ExecStart=`."""
    if isinstance(word, Credential):
        return f"${{CREDENTIALS_DIRECTORY}}/{word}"
    plain = _specifiers(word).replace("$", "$$")
    if word and set(word) <= _PLAIN:
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def put(unit: Unit, folder: Path) -> tuple[Path, bool]:
    """Write a unit's file, whole or not at all; returns it, and whether it has changed.

    Raises:
        UnitError: there is one that we have not made.
        OSError: it cannot be written.
    """
    path, content = folder / f"{unit.name}.service", text(unit)
    if path.exists():
        before = path.read_text(encoding="utf-8", errors="replace")
        if before == content:
            return path, False
        if not before.startswith(f"# Made by '{unit.made_by}'"):
            raise UnitError(f"{path} was not made by '{unit.made_by}': move it away first")
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(content, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)
    return path, True
