"""What a login may do, beside what its role may: shown alike for the database and the object store."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from cli import output
from cli.output import Format
from runtime.database_logins import RightHeld
from runtime.store_rights import RightFound


def show_rights(tried: Sequence[RightHeld] | Sequence[RightFound], where: str, *, empty: str, form: Format) -> None:
    """Print those that differ; as JSON, all. `where`: how their places are called. `empty`: what is said when none
    differs. Exit 1 when one does."""
    if form is Format.JSON:
        output.as_json([{**one._asdict(), "good": one.good} for one in tried])
    else:
        words = {True: "may", False: "may not"}
        rows = [(one[0], one.right, words[one.expected], words[one.found]) for one in tried if not one.good]
        output.table([where, "right", "expected", "found"], rows, empty=empty)
    if not all(one.good for one in tried):
        raise typer.Exit(1)
