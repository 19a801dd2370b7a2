# SPDX-License-Identifier: Apache-2.0
"""Elements that carry a figure and say which one, so that the browser can go on from there.

A template writes ``{{ value("pue.value", "pue") }}``; out comes the figure as it is now, in an
element whose ``data-bind`` and ``data-format`` tell ``static/js/bind.js`` what to put there with
the next frame. So no figure's place or format is written down twice. Four kinds of binding:

=================  ==============================================================
``data-bind``      the text of the element
``data-message``   a sentence of the catalogue with figures in it
``data-attrs``     attributes (positions of bars, heat levels), absent when unknown
``data-if``        the element is hidden while the value is empty (``!path``: the reverse)
=================  ==============================================================

Lists are ``data-each`` containers: a template renders their rows and one empty row in a
``<template>``; inside a row, paths start at the row's item.
"""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from rackwatt.collector.live.page.formats import UNKNOWN, Locale, explain, is_numeric, write

_ISOLATED = "\u2068{}\u2069"
"""First strong isolate around a figure in a sentence: Arabic around it cannot reorder it."""


def resolve(scope: object, path: str) -> Any:
    """Follow a dotted path through mappings; None where it ends early."""
    for key in path.split("."):
        if not isinstance(scope, Mapping):
            return None
        scope = scope.get(key)
    return scope


def is_empty(value: object) -> bool:
    """Tell whether ``data-if`` hides its element: nothing there, or an empty list or text."""
    return value is None or value is False or value in ("", [], {}, ())


class Bindings:
    """The functions which templates call, for one frame in one language."""

    def __init__(self, model: Mapping[str, Any], locale: Locale, *, isolate: bool) -> None:
        self._model = model
        self._locale = locale
        self._isolate = isolate

    def value(
        self,
        path: str,
        kind: str,
        part: str = "",
        *,
        scope: object = None,
        why: str = "",
        cls: str = "",
    ) -> Markup:
        """Return a ``<span>`` that shows the value at ``path``.

        Args:
            path: Dotted path in the frame, or in ``scope`` when that is given.
            kind: A format, see ``formats.write``.
            part: ``number`` or ``unit`` for that part alone.
            scope: The item of a list's row.
            why: Path of the code that says why the value may be unknown.
            cls: Further classes of the element.
        """
        base = self._model if scope is None else scope
        text = write(resolve(base, path), kind, self._locale, part)
        classes = " ".join(filter(None, ("num" if is_numeric(kind) else "", cls)))
        attributes = {"class": classes, "data-bind": path, "data-format": kind, "data-part": part}
        attributes["data-why"] = why
        if kind == "text":
            attributes["dir"] = "auto"
        if text is None and part == "unit":
            text = ""
        elif text is None:
            text = UNKNOWN
            reason = explain(resolve(base, why) if why else None, self._locale.messages)
            attributes |= {"data-unknown": "yes", "role": "img"}
            attributes |= {"title": reason, "aria-label": reason}
        return Markup("<span{}>{}</span>").format(_attributes(attributes), text)

    def message(self, key: str, scope: object = None, **figures: str) -> Markup:
        """Return a ``<span>`` with a sentence; ``figures`` are ``name="path|format"``."""
        base = self._model if scope is None else scope
        text = self._locale.messages[key]
        for name, figure in figures.items():
            path, _, kind = figure.partition("|")
            written = write(resolve(base, path), kind, self._locale) or UNKNOWN
            isolated = _ISOLATED.format(written) if self._isolate else written
            text = text.replace(f"{{{name}}}", isolated)
        arguments = ";".join(f"{name}={figure}" for name, figure in figures.items())
        attributes = {"data-message": key, "data-args": arguments}
        return Markup("<span{}>{}</span>").format(_attributes(attributes), text)

    def attrs(self, scope: object = None, /, **paths: str) -> Markup:
        """Return bound attributes; ``data_x="path"`` binds the attribute ``data-x``."""
        base = self._model if scope is None else scope
        named = {name.replace("_", "-"): path for name, path in paths.items()}
        bound = ";".join(f"{name}={path}" for name, path in named.items())
        values = {"data-attrs": bound}
        for name, path in named.items():
            value = resolve(base, path)
            values[name] = "" if value is None else str(value)
        return _attributes(values)

    def when(self, path: str, scope: object = None) -> Markup:
        """Return ``data-if`` for ``path``, and ``hidden`` while the value is empty."""
        base = self._model if scope is None else scope
        empty = is_empty(resolve(base, path.removeprefix("!")))
        hidden = empty != path.startswith("!")
        return Markup("{}{}").format(_attributes({"data-if": path}), " hidden" if hidden else "")

    def t(self, key: str) -> str:
        """Return a text of the catalogue."""
        return self._locale.messages[key]


def _attributes(values: Mapping[str, str]) -> Markup:
    written = (f' {name}="{escape(value)}"' for name, value in values.items() if value != "")
    return Markup("".join(written))  # noqa: S704 - names are ours, values are escaped above
