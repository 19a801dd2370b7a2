# SPDX-License-Identifier: Apache-2.0
"""What a page is made of. The template draws each kind; texts and numbers are ready to print."""

from dataclasses import dataclass
from typing import Literal

Align = Literal["text", "number"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A section begins."""

    text: str
    lead: str = ""
    new_page: bool = False
    kind: str = "heading"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; a note is set smaller."""

    text: str
    note: bool = False
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Card:
    """A key figure: its name, what it is, and what qualifies it."""

    name: str
    value: str
    unit: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cards:
    """Key figures side by side; large ones lead the page."""

    cards: tuple[Card, ...]
    columns: int = 4
    large: bool = False
    kind: str = "cards"


@dataclass(frozen=True, slots=True)
class Notice:
    """A framed message: preliminary, not to be signed, or a revision."""

    title: str
    lines: tuple[str, ...] = ()
    tone: Literal["warn", "plain"] = "warn"
    kind: str = "notice"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the widths are parts of the line, and the last row may be a sum."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...]
    widths: tuple[float, ...]
    total: bool = False
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Columns:
    """Tables side by side, on one page."""

    tables: tuple[Table, ...]
    kind: str = "columns"


@dataclass(frozen=True, slots=True)
class Legend:
    """A series: its name, its colour, and a pattern for those who see no colour."""

    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars: heights are parts of the axis' length, 0..1; ``None`` = unknown.

    Attributes:
        title: What it shows.
        alt: The same in a sentence, for those who hear it.
        labels: Below each bar; empty ones are left out.
        stacks: By bar, by series.
        series: The series, from the bottom.
        ticks: Of the axis: place 0..1 and text.
        unit: Of the axis.
        unknown: What a hatched part means; empty: none is hatched.
        rest: Drawn as high as the rest of the page allows; left out where that is too little.
    """

    title: str
    alt: str
    labels: tuple[str, ...]
    stacks: tuple[tuple[float | None, ...], ...]
    series: tuple[Legend, ...]
    ticks: tuple[tuple[float, str], ...]
    unit: str
    unknown: str = ""
    rest: bool = False
    kind: str = "bars"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole: its name, its figure, how much of the whole it is (0..1), its colour."""

    name: str
    value: str
    share: float
    color: str


@dataclass(frozen=True, slots=True)
class Shares:
    """A bar that is a whole, its parts side by side; they add up to 1."""

    title: str
    alt: str
    parts: tuple[Share, ...]
    kind: str = "shares"


@dataclass(frozen=True, slots=True)
class Points:
    """Points in a plane: places are parts of the axes, 0..1."""

    title: str
    alt: str
    points: tuple[tuple[float, float], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_name: str
    y_name: str
    color: str
    kind: str = "points"


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Hours by days: cells are colours, an empty string = unknown.

    Attributes:
        title: What it shows.
        alt: The same in a sentence.
        columns: Names of the hours.
        rows: Names of the days.
        cells: By row.
        scale: Colours and their bounds, for the legend.
        unknown: What a hatched cell means.
    """

    title: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    scale: tuple[Legend, ...]
    unknown: str
    kind: str = "heatmap"


@dataclass(frozen=True, slots=True)
class Port:
    """What crosses the boundary: a name, a figure, and a colour."""

    name: str
    value: str
    color: str


@dataclass(frozen=True, slots=True)
class Boundary:
    """The boundary drawing: what goes in, what is inside, what goes out."""

    title: str
    alt: str
    inside: str
    sources: tuple[Port, ...]
    loads: tuple[Port, ...]
    outside: tuple[Port, ...]
    kind: str = "boundary"


@dataclass(frozen=True, slots=True)
class Signatures:
    """Three fields to sign in."""

    fields: tuple[tuple[str, str, str], ...]
    name: str
    date: str
    signature: str
    kind: str = "signatures"


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms and what they mean."""

    terms: tuple[tuple[str, str], ...]
    kind: str = "glossary"


Block = (
    Heading
    | Text
    | Cards
    | Notice
    | Table
    | Columns
    | Bars
    | Shares
    | Points
    | HeatMap
    | Boundary
    | Signatures
    | Glossary
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A document to set.

    Attributes:
        language: Of its text.
        title: On its first page and in its properties.
        subtitle: Below it.
        author: In its properties.
        foot: At the foot of every page, where it is made from.
        page: `page {n} of {all}` in its language.
        mark: Across the head of every page; empty: none.
        blocks: What it says, in order.
    """

    language: str
    title: str
    subtitle: str
    author: str
    foot: str
    page: str
    mark: str
    blocks: tuple[Block, ...]
