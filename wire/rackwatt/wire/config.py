# SPDX-License-Identifier: Apache-2.0
"""YAML configuration with errors that name file, line, key and the nearest valid key."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from rackwatt.wire.cycles import no_search

M = TypeVar("M", bound=BaseModel)
Key = tuple[str | int, ...]

_SECRET_IN_URL: Final = re.compile(r"//[^/\s]*@")
_WORDS: Final = {
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "dict_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text (in quotes, where it looks like a number)",
    "string_too_short": "must not be empty",
    "path_type": "must be a path",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
"""Kinds of pydantic's errors, in plain words."""

_TEXT: Final = "tag:yaml.org,2002:str"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One thing that is wrong in a file."""

    file: str
    line: int
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """`file:line: key: message (hint)`, as compilers print it."""
        key = f" {self.key}:" if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{key} {self.message}{hint}"


class ConfigErrors(Exception):  # noqa: N818 - it holds several errors
    """All that is wrong in a file, found in one pass."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = sorted(errors, key=lambda error: (error.file, error.line, error.key))
        super().__init__("\n".join(str(error) for error in self.errors))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """A hint that names the candidate nearest to `word`, or lists them when none is near."""
    names = sorted(set(candidates))
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in names], 1, 0.5)
    if close:
        match = next(name for name in names if name.lower() == close[0])
        return f"did you mean '{match}'?"
    if 0 < len(names) <= 25:
        return "valid: " + ", ".join(names)
    return ""


class Document:
    """A YAML file read once: its data, and the line of every key.

    Args:
        file: name for messages.
        text: the YAML text.

    Raises:
        ConfigErrors: the text is no YAML, a key stands twice, or it is not a mapping.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines: dict[Key, int] = {}
        try:
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            problem = error.problem or "broken YAML"
            rows = text.splitlines()
            if "cannot start any token" in problem and line <= len(rows) and "\t" in rows[line - 1]:
                problem = "a tab: indent with spaces"
            raise ConfigErrors([ConfigError(file, line, "", f"broken YAML: {problem}")]) from error
        except yaml.YAMLError as error:
            problem = str(error).splitlines()[0]
            raise ConfigErrors([ConfigError(file, 1, "", f"broken YAML: {problem}")]) from error
        self._errors: list[ConfigError] = []
        self._constructor = yaml.SafeLoader("")
        self._open: set[int] = set()
        self.data: Any = {} if root is None else self._build(root, ())
        if not isinstance(self.data, dict):
            self._errors.append(ConfigError(file, 1, "", "must be a mapping of keys to values"))
        if self._errors:
            raise ConfigErrors(self._errors)

    def _build(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.ScalarNode):  # most are, and they hold nothing
            self._lines.setdefault(key, node.start_mark.line + 1)
            return node.value if node.tag == _TEXT else self._scalar(node, key)
        if id(node) in self._open:  # an alias to what it stands in
            raise ConfigErrors(
                [ConfigError(self.file, self.line_of(key), name_of(key), "contains itself")]
            )
        self._open.add(id(node))
        try:
            return self._built(node, key)
        finally:
            self._open.discard(id(node))

    def _built(self, node: yaml.Node, key: Key) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    message = "a key must be a plain word"
                    self._errors.append(ConfigError(self.file, line, name_of(key), message))
                    continue
                name = str(self._scalar(key_node, key))
                if name in result:
                    self._errors.append(ConfigError(self.file, line, name, "stands twice"))
                self._lines[(*key, name)] = line
                result[name] = self._build(value_node, (*key, name))
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*key, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            line = node.start_mark.line + 1
            self._errors.append(
                ConfigError(
                    self.file, line, name_of(key), f"unreadable value: {str(error).splitlines()[0]}"
                )
            )
            return None

    def line_of(self, key: Sequence[str | int]) -> int:
        """The line of `key`, or of its nearest ancestor that stands in the file."""
        path = tuple(key)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def error(
        self, key: Sequence[str | int], message: str, candidates: Iterable[str] = (), hint: str = ""
    ) -> ConfigError:
        """An error at `key`; `candidates` make the hint from the key's last part."""
        word = str(key[-1]) if key else ""
        return ConfigError(
            self.file,
            self.line_of(key),
            name_of(key),
            message,
            hint or (nearest(word, candidates) if candidates else ""),
        )

    def validate(self, model: type[M]) -> M:
        """The document as `model`.

        Raises:
            ConfigErrors: with every violation.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            raise ConfigErrors([self._explain(item, model) for item in error.errors()]) from error

    def _explain(self, item: Mapping[str, Any], model: type[BaseModel]) -> ConfigError:
        key: Key = tuple(item["loc"])
        kind = item["type"]
        present = self._real_key(key)
        if kind == "extra_forbidden":
            return self.error(present, "unknown key", fields_at(model, key[:-1]))
        if kind == "missing":
            return self.error(present, "is missing")
        message = _plain(kind, item)
        hint = ""
        expected = item.get("ctx", {}).get("expected")
        if kind in {"literal_error", "enum"} and isinstance(expected, str):
            hint = nearest(str(item.get("input")), re.findall(r"'([^']*)'", expected))
        value = item.get("input")
        got = _SECRET_IN_URL.sub("//…@", repr(value))
        shown = f"{message}, got {got}" if isinstance(value, str | int | float) else message
        return self.error(present, shown, hint=hint)

    def _real_key(self, key: Key) -> Key:
        """Drop the parts that pydantic adds for the branch of a union it tried."""
        real: Key = ()
        for part in key:
            if (*real, part) in self._lines or part == key[-1]:
                real = (*real, part)
        return real


def _plain(kind: str, item: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of whoever wrote the file."""
    if item.get("input") is None and kind not in {"value_error", "missing"}:
        return "is empty: write a value, or leave the key out"
    text = _WORDS.get(kind)
    if text is not None:
        return text.format(**item.get("ctx", {}))
    return str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def name_of(key: Sequence[str | int]) -> str:
    """`meters[3].role`: how messages name a key."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def fields_at(model: type[BaseModel], key: Sequence[str | int]) -> list[str]:
    """The valid keys of the model that stands at `key` below `model`."""
    models = [model]
    for part in key:
        if isinstance(part, int):
            continue
        following: list[type[BaseModel]] = []
        for candidate in models:
            info = candidate.model_fields.get(part)
            following += _models_in(info.annotation) if info is not None else []
        models = following or models
    return sorted({name for item in models for name in _names(item)})


def _names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for item in get_args(annotation) for found in _models_in(item)]


def load_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigErrors: it cannot be read or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = "cannot be read: is not text in UTF-8"
        raise ConfigErrors([ConfigError(str(path), line, "", message)]) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigErrors([ConfigError(str(path), 1, "", f"cannot be read: {reason}")]) from error
    with no_search():
        return Document(str(path), text)


def load(path: Path, model: type[M]) -> M:
    """Read a YAML file as `model`.

    Raises:
        ConfigErrors: with every violation, each with its line.
    """
    return load_document(path).validate(model)


_DURATIONS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def _parse(value: object, units: Mapping[str, float], what: str, example: str) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{what} must be a number with a unit, like {example}")  # noqa: TRY004
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        if match is None or match[2] not in units:
            raise ValueError(f"{what} must be a number with a unit, like {example}")
        return float(match[1]) * units[match[2]]
    return value


def parse_duration(value: object) -> object:
    """`10s`, `500ms`, `24h` or a number of seconds, as seconds.

    Raises:
        ValueError: another text.
    """
    return _parse(value, _DURATIONS, "a duration", "10s, 500ms, 5min or 24h")


def parse_bytes(value: object) -> object:
    """`1GB`, `512MiB` or a number of bytes, as bytes.

    Raises:
        ValueError: another text.
    """
    size = _parse(value, _BYTES, "a size", "512MiB or 1GB")
    return int(size) if isinstance(size, float) and isinstance(value, str) else size


Duration = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(parse_duration)]
"""Seconds; in a file: `10s`, `500ms`, `5min`, `24h`, or a number of seconds."""
ByteSize = Annotated[int, BeforeValidator(parse_bytes)]
"""Bytes; in a file: `512MiB`, `1GB`, or a number of bytes."""
