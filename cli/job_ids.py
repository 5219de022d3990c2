"""Job ids as people type them."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.errors import WrongUse
from contract.names import pool_of


def _known_form(job: str) -> str:
    """The id. WrongUse when it is none: it becomes a part of an address, where `?` or `..` would mean another one."""
    try:
        pool_of(job)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    return job


JobId = Annotated[str, typer.Argument(metavar="JOB", callback=_known_form, help="The id that `jobs submit` printed.")]
