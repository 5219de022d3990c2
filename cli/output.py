"""How results are shown: tables and bars for people, JSON for programs.

`-o json` prints exactly one JSON document on standard output. Everything else (bars, notes) goes to standard error, and
bars only to a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from views.moments import duration as in_words
from views.moments import when_here


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("-o", "--format", help="table for people, json for programs.")]

PIPE_COLUMNS = 400
"""A pipe has no width, so lines are not wrapped there."""


def _console(*, stderr: bool) -> Console:
    """Takes no markup: a text in brackets may be the error of a model, a path or a name."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, markup=False, width=PIPE_COLUMNS)


out = _console(stderr=False)
err = _console(stderr=True)

STATE_STYLES = {
    "submitted": "dim",
    "preparing": "blue",
    "queued": "yellow",
    "dispatched": "cyan",
    "started": "bold cyan",
    "cancelling": "magenta",
    "succeeded": "green",
    "cancelled": "dim",
    "expired": "dim red",
    "refused": "red",
    "dead_lettered": "bold red",
    "quarantined": "bold red",
    "unreadable": "bold magenta",
}


def as_json(value: Any) -> None:
    """Prints one JSON document on standard output."""
    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def damaged(offset: int, text: str, trusted_offset: int, shown: str) -> None:
    """Says why a ledger was read no further, and up to which offset the shown figures can be trusted."""
    trusted = f"up to offset {trusted_offset}" if trusted_offset >= 0 else "which is nothing"
    words = f"the ledger is damaged at offset {offset}: {text}; {shown} says what can be trusted, {trusted};"
    err.print(f"{words} `headrace audit verify` says more", style="bold red", soft_wrap=True)


def state(name: str) -> Text:
    return Text(name, style=STATE_STYLES.get(name, ""))


def mark(good: bool, *, suspect: bool = False) -> Text:
    if good and suspect:
        return Text("!", style="bold yellow")
    return Text("✓", style="green") if good else Text("✗", style="bold red")


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Prints a table on standard output. Without rows: prints the sentence `empty`, which says what to do."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    count = 0
    for row in rows:
        count += 1
        grid.add_row(*[cell if isinstance(cell, Text) else _cell(cell) for cell in row])
    if count:
        out.print(grid)
    else:
        err.print(empty)


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Prints names and values, a line for each."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, value if isinstance(value, Text) else _cell(value))
    out.print(grid)


def whole(text: str) -> None:
    """Prints a text that people copy, such as a link: a terminal may wrap it, we break no line."""
    out.print(Text(text), soft_wrap=True)


def said_by_a_model(text: str) -> None:
    """Prints what a model wrote. On a terminal without the characters by which it could steer the terminal; in a pipe
    as it is."""
    shown = "".join(map(_harmless, text)) if out.is_terminal else text
    print(shown, end="" if shown.endswith("\n") else "\n")


def _harmless(character: str) -> str:
    return character if character.isprintable() or character in "\n\t" else character.encode("unicode-escape").decode()


def moment(at_ms: int | None) -> str:
    """A time by the clock of the broker, in the zone of this machine, to the millisecond."""
    if not at_ms:
        return "-"
    return when_here(at_ms)


def duration(ms: int | None) -> str:
    return "-" if ms is None else in_words(ms)
